"""The entropy of the next-token distribution, with a gradient, and without holding all logits."""

import pytest
import torch

from r1zero.models.logprobs import Head, token_logprobs


@pytest.mark.parametrize("chunk", [None, 3])
def test_the_entropys_gradient_is_that_of_its_definition(chunk):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(11, 5, generator=generator, requires_grad=True)
    hidden = torch.randn(7, 5, generator=generator, requires_grad=True)
    targets = torch.randint(0, 9, (7,), generator=generator)
    head = Head(weight, None, vocab_size=9, softcap=None, scale=1.0)  # two padded rows
    _, entropies = token_logprobs(head, hidden, targets, temperature=0.7, chunk=chunk, entropy_gradient=True)
    ours = torch.autograd.grad(entropies.sum(), (hidden, weight))
    probabilities = torch.softmax(hidden @ weight[:9].T / 0.7, -1)
    direct = -(probabilities * probabilities.log()).sum()
    theirs = torch.autograd.grad(direct, (hidden, weight))
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-4)


def test_the_entropy_has_no_gradient_unless_asked_for():
    head = Head(torch.randn(9, 5, requires_grad=True), None, vocab_size=9, softcap=None, scale=1.0)
    logprobs, entropies = token_logprobs(head, torch.randn(4, 5), torch.zeros(4, dtype=torch.long))
    assert logprobs.requires_grad
    assert not entropies.requires_grad
