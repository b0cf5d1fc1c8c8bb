"""The handwritten digits that ship inside scikit-learn: 1,797 images of 8x8 pixels."""

import numpy as np


def read() -> dict[str, np.ndarray]:
    """The array of each part, uint8; pixels are 0 to 16.

    A fixed stratified split: 1,437 training and 360 test images.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.images.astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.2, random_state=0, stratify=labels
    )
    return {
        "train-images": train_images,
        "train-labels": train_labels,
        "test-images": test_images,
        "test-labels": test_labels,
    }
