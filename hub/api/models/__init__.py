"""The shapes of the API's answers by subject, for its OpenAPI document and the tests that hold answers to it.

Answers are written straight from the view's dicts; nothing is validated on the way out.
"""
