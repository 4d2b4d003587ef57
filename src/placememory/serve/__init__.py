"""An HTTP service around the :class:`placememory.localization.Localizer`; the extra ``serve``.

One memory and one encoder are resident. Images that arrive together are encoded in one call
(:mod:`placememory.serve.batching`), and each is answered by a localizer, of single images
(:mod:`placememory.serve.engine`) or of a stream (:mod:`placememory.serve.streams`): nothing is
decided here. What may come in is bounded in :mod:`placememory.serve.guard`.
"""
