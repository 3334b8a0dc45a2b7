import os

# Before NumPy is first imported: one thread a process for its matrix products. The processes of a busy machine that
# share its processors would spend most of their time waiting for each other's threads (docs/network.md).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
