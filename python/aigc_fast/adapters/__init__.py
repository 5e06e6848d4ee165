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
"""
