"""Writes data.json: logits, labels and what scikit-learn, NumPy and SciPy make of them.

Run: python generate.py
"""

import json
import pathlib

import numpy
import scipy
import sklearn
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn import metrics

BINS = 15


def calibration(probabilities, labels):
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    edges = numpy.linspace(0, 1, BINS + 1)
    bins = numpy.digitize(confidence, edges[1:-1], right=True)
    gaps = [abs(right[bins == b].mean() - confidence[bins == b].mean()) if (bins == b).any() else 0.0 for b in range(BINS)]
    counts = numpy.bincount(bins, minlength=BINS)
    return float((counts * gaps).sum() / len(labels)), float(max(gaps)), counts.tolist()


def expected(logits, labels):
    count, classes = logits.shape
    every = list(range(classes))
    log_probabilities = log_softmax(logits, 1)
    probabilities = numpy.exp(log_probabilities)
    predicted = logits.argmax(1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    average = lambda kind: list(
        metrics.precision_recall_fscore_support(labels, predicted, average=kind, zero_division=0)[:3]
    )
    ece, mce, bin_counts = calibration(probabilities, labels)
    nll = lambda t: -log_softmax(logits / t, 1)[numpy.arange(count), labels].mean()
    best = minimize_scalar(lambda u: nll(numpy.exp(u)), bounds=(-4.6, 4.6), method="bounded", options={"xatol": 1e-12})
    top5 = 1.0 if classes <= 5 else metrics.top_k_accuracy_score(labels, logits, k=5, labels=every)
    return {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "top5_accuracy": float(top5),
        "mean_per_class_accuracy": float(recall[support > 0].mean()),
        "negative_log_likelihood": metrics.log_loss(labels, probabilities, labels=every),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=every).tolist(),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": support.tolist(),
        "macro": average("macro"),
        "weighted": average("weighted"),
        "ece": ece,
        "mce": mce,
        "bin_counts": bin_counts,
        "brier": float(((probabilities - numpy.eye(classes)[labels]) ** 2).sum(1).mean()),
        "temperature": float(numpy.exp(best.x)),
    }


def case(seed, count, classes, confidence, present=None):
    """Images of the classes `present`; the right logit is raised for most, so some classes are never predicted."""
    random = numpy.random.default_rng(seed)
    labels = random.choice(present or classes, count)
    logits = random.normal(size=(count, classes))
    logits[numpy.arange(count), labels] += random.normal(1.5, 1.5, count)
    if present:
        logits[:, classes - 1] -= 50
    logits = (logits * confidence).astype(numpy.float32).round(3)
    as_read = logits.astype(numpy.float64)
    return {
        "logits": [[float(f"{x:.3f}") for x in row] for row in logits],
        "labels": labels.tolist(),
        "expected": expected(numpy.float32(as_read.round(3)).astype(numpy.float64), labels),
    }


cases = [
    case(0, 80, 7, 1.0),
    case(1, 40, 2, 3.0),
    case(2, 60, 8, 2.0, present=[0, 1, 3, 4]),
    case(3, 60, 43, 0.5),
]
versions = {"numpy": numpy.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__}
path = pathlib.Path(__file__).with_name("data.json")
path.write_text(json.dumps({"versions": versions, "cases": cases}) + "\n")
