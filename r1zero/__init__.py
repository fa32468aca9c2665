"""r1zero: a laboratory for R1-Zero-like training.  Probe a base model, train it with rule-checked rewards, explain it.

    tasks -> Problem -> template -> Prompt -> engine -> Response -> grader -> Grade -> reward -> objective -> learner
                                                                └──> store -> analysis -> reports

Start reading at records.py (what flows), then training/loop.py (how).
"""
