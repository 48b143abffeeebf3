"""The exceptions a caller may want to act on.

    DiscreetError
    ├── DataError            a portrait table, note or image cannot be used
    │   └── ImageError       one image is missing, broken, too small or too large
    ├── ArtifactError        something on disk is not what it should be
    │   ├── AdapterWithdrawn an adapter was taken off the shelf
    │   ├── ArtifactCorrupt  a file is damaged or was changed after it was written
    │   ├── RunExists        a run folder is already there and holds something
    │   ├── NotStored        a record could not be written, for example on a full disk
    │   ├── StoreInUse       other processes hold a store of records for too long
    │   └── UnsafeFile       a file format that can run code (pickle) was refused
    ├── IncompatibleBase     an adapter was made for another base model
    ├── BudgetExhausted      a privacy budget would be overrun; nothing was spent
    ├── LedgerInUse          another process trains or adds up for this owner; nothing was spent
    ├── FederationError      too few usable replies to make an average
    │   └── AggregationRefused  a part of a secure sum would reveal somebody, or is damaged
    │       └── RosterMismatch  who is in a sum is not on the roster, or is there twice
    ├── DeploymentError      a server or a node cannot be started, trusted or reached
    ├── PolicyError          a policy file asks for something that may not be done
    ├── ServiceError         a visitor cannot be answered now
    │   ├── LineFull         too many wait already; nothing was kept
    │   ├── NotLogged        an answer cannot be written down, and is not given
    │   └── Stopped          the turn was stopped before its end
    ├── MeasurementFailed    some of many measurements could not be made
    └── ExtraMissing         an optional package is not installed

Wrong arguments raise `ValueError` or `TypeError`. No message holds a person's words, face or name.
"""


class DiscreetError(Exception):
    """Root of every error that *discreet* raises on purpose."""


class DataError(DiscreetError):
    """A data source cannot be used as it is."""


class ImageError(DataError):
    """An image is missing, broken, too small or too large."""


class ArtifactError(DiscreetError):
    """Something on disk is not what it should be."""


class AdapterWithdrawn(ArtifactError):
    """An adapter was taken off the shelf, with a reason; nobody may use it or go on with it."""


class ArtifactCorrupt(ArtifactError):
    """A file is damaged, or its content does not match its recorded hash."""


class RunExists(ArtifactError):
    """A run folder already exists and is not empty."""


class NotStored(ArtifactError):
    """A record could not be written or removed; the call can be made again."""


class StoreInUse(ArtifactError):
    """Other processes held a store of records for too long; the call can be made again."""


class UnsafeFile(ArtifactError):
    """A file format that can run code was refused."""


class IncompatibleBase(DiscreetError):
    """An adapter was trained on another base model."""


class BudgetExhausted(DiscreetError):
    """Spending would overrun a privacy budget; nothing was spent."""


class LedgerInUse(DiscreetError):
    """Another process trains on the owner's budget, or is in a sum for it; nothing was spent."""


class FederationError(DiscreetError):
    """Too few usable replies came back to make an average."""


class AggregationRefused(FederationError):
    """A part of a secure sum would reveal somebody's numbers, or is not what it should be."""


class RosterMismatch(AggregationRefused):
    """Members of a secure sum are not owners on the roster, each of them once."""


class DeploymentError(DiscreetError):
    """A server or a node of a federation cannot be started, trusted or reached."""


class PolicyError(DiscreetError):
    """A policy file asks for something that may not be done."""


class ServiceError(DiscreetError):
    """A visitor cannot be answered now."""


class LineFull(ServiceError):
    """Too many visitors wait already; nothing of what was asked is kept."""


class NotLogged(ServiceError):
    """An answer cannot be written down, and is not given; danger to life is answered."""


class Stopped(ServiceError):
    """The turn was stopped before its end; nothing of it is kept."""


class MeasurementFailed(DiscreetError):
    """Some of many measurements could not be made; the others are kept."""


class ExtraMissing(DiscreetError):
    """An optional package is not installed."""
