"""The readers, one file for each layout; `READERS` is the registry."""

from discreet.sources.layouts import Reader
from discreet.sources.readers import (
    affectnet,
    celeba,
    chats,
    deepfake_bench,
    df_timit,
    dress_code,
    face_forensics,
    fairface,
    fake_av_celeb,
    hugging_face,
    image_folder,
    kodf,
    mpiigi,
    portraits,
    raf_db,
    udiva,
    utkface,
    viton_hd,
)

READERS: dict[str, Reader] = {
    module.READER.name: module.READER
    for module in (
        fairface,
        utkface,
        celeba,
        raf_db,
        affectnet,
        viton_hd,
        dress_code,
        fake_av_celeb,
        face_forensics,
        kodf,
        df_timit,
        deepfake_bench,
        udiva,
        mpiigi,
        portraits,
        chats,
        hugging_face,
        image_folder,
    )
}
"""Name -> reader; the first that can read a path is taken, so that general layouts come last."""
