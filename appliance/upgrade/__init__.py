"""Another embedder without enrolling everybody anew: two spaces side by side, which are never compared.

`plan` says which one is coming, `photos` reads kept photos by it, `lazy` takes what is missing at the door, `report`
says whether it can take over. Until then the new templates lie in the shadow: no door sees them.
"""
