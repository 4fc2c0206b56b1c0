"""What computes, and knows neither networks nor rules.

:mod:`.patches` holds relevance on parts of maps, :mod:`.linear_steps` takes it through the geometry of convolutions and
dense layers. Below them are loops in one pass over memory (:mod:`.single_pass`, compiled in :mod:`.kernels`),
convolutions on tiles (:mod:`.winograd`), memory that is lent (:mod:`.scratch`) and cores that are shared out
(:mod:`.lanes`).
"""
