"""Exact search behind the interfaces of other libraries: one module for each, imported by name.

==========================  =============================================  ===================
module                      takes the place of                             extra
==========================  =============================================  ===================
``rectools``                ``ImplicitRanker``, ``TorchRanker``            ``rectools``
``implicit``                ``recommend`` of a factorization model         ``recommender``
``cornac``                  ``FaissANN`` and the other ``BaseANN``         ``cornac``
``sentence_transformers``   ``util.semantic_search``                       none
``sklearn``                 ``KNeighborsTransformer(metric="cosine")``     ``sklearn``
==========================  =============================================  ===================

Each is tested against the original's own answer (``tests/adapters``). The ``test`` extra brings all but RecTools, which
takes NumPy below 2 on Python up to 3.12 (RecTools 0.19): its test needs an environment of its own,
``pip install '.[rectools]' pytest hypothesis && pytest tests/adapters``.
"""
