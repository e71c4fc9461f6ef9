"""Writes data.safetensors: features, source probabilities and labels, and what the definitions of the scores make of them.

Nothing here is computed as in src/eval/transferability: LogME is the largest density of a Gaussian over the images, found by
a search; H-scores take whole matrices, and scikit-learn's shrinkage; LEEP and NCE are loops over classes.

Names are CASE/WHAT, and rank/CASE/WHAT for correlations. Run: python generate.py
"""

import pathlib

import numpy
import scipy
import sklearn
from safetensors.numpy import save_file
from scipy import stats
from scipy.optimize import minimize
from sklearn.covariance import LedoitWolf


def log_me(features, labels):
    count = len(labels)
    products = features @ features.T

    def log_evidence(log_precisions, target):
        alpha, beta = numpy.exp(numpy.clip(log_precisions, -50, 50))  # where features say nothing, the best alpha is infinite
        covariance = numpy.eye(count) / beta + products / alpha
        misfit = target @ numpy.linalg.inv(covariance) @ target
        return -0.5 * (misfit + numpy.linalg.slogdet(covariance)[1] + count * numpy.log(2 * numpy.pi))

    def largest(target):
        options = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 10000, "maxfev": 10000}
        starts = [(a, b) for a in (-3.0, 0.0, 3.0) for b in (0.0, 3.0)]
        found = [minimize(lambda x: -log_evidence(x, target), s, method="Nelder-Mead", options=options) for s in starts]
        return -min(result.fun for result in found)

    return numpy.mean([largest((labels == label).astype(float)) / count for label in numpy.unique(labels)])


def between_classes(features, labels):
    means = numpy.empty_like(features)
    for label in numpy.unique(labels):
        means[labels == label] = features[labels == label].mean(0)
    return numpy.cov(means, rowvar=False, bias=True)


def h_score(features, labels):
    inverse = numpy.linalg.pinv(numpy.cov(features, rowvar=False, bias=True), rcond=1e-12, hermitian=True)
    return numpy.trace(inverse @ between_classes(features, labels))


def shrunk_h_score(features, labels):
    shrunk = LedoitWolf().fit(features)
    between = (1 - shrunk.shrinkage_) * between_classes(features, labels)
    return numpy.trace(numpy.linalg.inv(shrunk.covariance_) @ between)


def leep(probabilities, labels):
    total = 0.0
    for own, label in zip(probabilities, labels):
        predicted = 0.0
        for source, probability in enumerate(own):
            column = probabilities[:, source]
            predicted += probability * column[labels == label].sum() / column.sum()
        total += numpy.log(predicted)
    return total / len(labels)


def nce(source_labels, labels):
    total = 0.0
    for source, label in zip(source_labels, labels):
        total += numpy.log(((source_labels == source) & (labels == label)).sum() / (source_labels == source).sum())
    return total / len(labels)


def case(seed, count, width, classes, present=None, depend=0):
    """Features around the mean of their class, the last `depend` of them sums of others."""
    random = numpy.random.default_rng(seed)
    labels = random.choice(present or classes, count)
    centres = 2 * random.normal(size=(classes, width))
    features = centres[labels] * random.uniform(0.2, 1, width) + random.normal(size=(count, width)) + 0.3
    for column in range(width - depend, width):
        features[:, column] = features[:, column - depend] - 2 * features[:, 0]
    logits = 2 * features @ random.normal(size=(width, 6)) / numpy.sqrt(width)
    probabilities = numpy.exp(logits) / numpy.exp(logits).sum(1, keepdims=True)
    source_labels = probabilities.argmax(1)
    return {
        "features": features,
        "probabilities": probabilities,
        "source_labels": source_labels,
        "labels": labels,
        "classes": numpy.array(classes),
        "log_me": numpy.array([log_me(features, labels)]),
        "h_score": numpy.array([h_score(features, labels)]),
        "shrunk_h_score": numpy.array([shrunk_h_score(features, labels)]),
        "leep": numpy.array([leep(probabilities, labels)]),
        "nce": numpy.array([nce(source_labels, labels)]),
    }


def rank(forecast, truth):
    return {
        "forecast": numpy.array(forecast),
        "truth": numpy.array(truth),
        "pearson": numpy.array([stats.pearsonr(forecast, truth).statistic]),
        "spearman": numpy.array([stats.spearmanr(forecast, truth).statistic]),
        "kendall": numpy.array([stats.kendalltau(forecast, truth).statistic]),
        "weighted_kendall": numpy.array([stats.weightedtau(forecast, truth).statistic]),
    }


random = numpy.random.default_rng(9)
truth = random.normal(size=12)
tied = random.integers(0, 4, 15)
groups = {
    "ordinary": case(0, 60, 8, 4),
    "two": case(1, 40, 5, 2),
    "absent": case(2, 45, 6, 7, present=[1, 2, 5]),
    "singular": case(3, 48, 8, 3, depend=2),
    "wide": case(4, 20, 30, 3),
    "rank/distinct": rank(truth + random.normal(size=12), truth),
    "rank/tied": rank(tied / 2.0, tied + random.integers(0, 3, 15) * 1.0),
    "rank/opposed": rank([1.0, 2.0, 3.0, 4.5], [9.0, 7.0, 7.0, 1.0]),
    "rank/two": rank([1.0, 2.0], [3.0, 4.0]),
}
tensors = {f"{name}/{what}": value for name, group in groups.items() for what, value in group.items()}
versions = {"numpy": numpy.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__}
save_file(tensors, pathlib.Path(__file__).with_name("data.safetensors"), metadata=versions)
