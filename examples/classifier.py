"""The paper's layer in a plain PyTorch classifier of digits, beside a linear one.

    python examples/classifier.py

It prints accuracy, negative log likelihood (NLL) and expected calibration error (ECE)
on test images, and how sure the classifier is where it is right and where it is wrong.
"""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from comvae.nn import DynamicBayesianLinear

EPOCHS, BATCH, DRAWS = 15, 64, 20


def weight_kl(net: nn.Module) -> Tensor:
    """The weight KL of all Bayesian layers after a forward pass, in nats."""
    layers = [m for m in net.modules() if isinstance(m, DynamicBayesianLinear)]
    return torch.stack([layer.kl() for layer in layers]).sum()


def train(net: nn.Module, x: Tensor, y: Tensor) -> None:
    """Adam on the cross-entropy of an image, plus the weight KL over all images."""
    optimiser = torch.optim.Adam(net.parameters(), lr=0.005)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(x)).split(BATCH):
            loss = F.cross_entropy(net(x[chosen]), y[chosen])
            loss = loss + weight_kl(net) / len(x)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    net.eval()


@torch.no_grad()
def predict(net: nn.Module, x: Tensor) -> Tensor:
    """Probabilities of the classes, (images, classes), averaged over weight draws."""
    return torch.stack([net(x).softmax(1) for _ in range(DRAWS)]).mean(0)


def calibration_error(p: Tensor, y: Tensor, bins: int = 10) -> float:
    """ECE: how far confidence and accuracy are apart, over bins of confidence."""
    confidence, guess = p.max(1)
    place = (confidence * bins).long().clamp_max(bins - 1)
    right = (guess == y).float()
    apart = [(right - confidence)[place == b].sum().abs() for b in range(bins)]
    return torch.stack(apart).sum().item() / len(y)


def main() -> dict[str, tuple[float, float]]:
    """Train both classifiers; accuracy and ECE of each, by name."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # such small tensors gain nothing from a second one
    digits = load_digits()
    x = torch.tensor(digits.data / 16, dtype=torch.float32)
    y = torch.tensor(digits.target)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.3, random_state=0)
    linear = LogisticRegression(max_iter=2000).fit(x, y)
    net = nn.Sequential(
        DynamicBayesianLinear(64, 32, prior="gaussian"), nn.ReLU(), nn.Linear(32, 10)
    )
    train(net, x, y)
    predictions = {
        "linear": torch.tensor(linear.predict_proba(x_test)),
        "dynamic": predict(net, x_test),
    }
    found = {}
    for name, p in predictions.items():
        sure, right = p.max(1).values, p.argmax(1) == y_test
        accuracy, error = right.float().mean().item(), calibration_error(p, y_test)
        found[name] = accuracy, error
        nll = F.nll_loss(p.log(), y_test).item()
        print(f"{name:8} accuracy {accuracy:.3f}  NLL {nll:.3f}  ECE {error:.3f}")
        print(
            f"{'':8} mean confidence {sure[right].mean():.2f} where right, "
            f"{sure[~right].mean():.2f} where wrong"
        )
    return found


if __name__ == "__main__":
    main()
