import sys; sys.path.insert(0,'tests')
from pathlib import Path
import tempfile, time
from federated.tiny import TinyTask, tiny_config
from discreet.artifacts import RunFolder
from discreet.federated import run_federation, statements_of
for kw in ({}, dict(local_rule="scaffold"), dict(local_rule="prox", proximal_mu=.1), dict(wire="int8", wire_down="int8"), dict(wire="topk"), dict(server_optimizer="adam", server_learning_rate=.01), dict(num_owners=6, combine="median", hostile_owners=1), dict(num_owners=6, combine="multi_krum", hostile_owners=1),
  dict(secure_aggregation=True, num_owners=5, min_replies=3), dict(secure_aggregation=True, unit="owner", sampled="owner", max_update_norm=.5, num_owners=5, min_replies=3), dict(unit="owner", sampled="owner", max_update_norm=.5, num_owners=10, owners_per_round=5), dict(aggregation="rolora"), dict(aggregation="fedit"), dict(num_owners=6, owners_per_round=2, num_rounds=6)):
    d=RunFolder.create(Path(tempfile.mkdtemp())/"r")
    t=time.time()
    c=tiny_config(**kw)
    try:
        o=run_federation(c,d,TinyTask(c))
        print(kw,o.rounds_done,o.ended, {k:float(v.norm()) for k,v in o.state.items()}, list(statements_of(d).items())[:1], round(time.time()-t,2))
    except Exception as e:
        print(kw, type(e), e)
        import traceback; traceback.print_exc()
        break
