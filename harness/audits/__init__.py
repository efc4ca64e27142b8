"""Reliability cards: what a metric is worth, found out by running it where the truth is known.

What a card holds, and the principle behind each threshold. A check that could not be tried, or whose evidence decides
nothing, is None with a reason and never fails: a metric loses its ranks on evidence, not for want of it.

Checks that decide (one that fails makes the metric ``diagnostic`` on the task):

``truth_rank``, ``truth_rank_methods``
    Of two rows that the truth tells apart, does the metric put the better one first? The truth is what directions
    (``mcc_over_g``) and firing (``firing_f1``) say together: a pair counts where one of them separates it beyond noise
    and the other does not contradict. The value is Kendall's tau over those pairs, ties counting 0; its interval is
    over rows. Rows are the methods a board would rank and the damaged oracles, or the methods alone. Threshold .5, the
    right one three times in four, halfway from a coin to certainty. Fails where the whole interval lies below.
``oracle_first``
    The truth itself is not beaten. The value is the largest lead, beyond noise, of any row over the whole oracle, in
    the metric's unit; the threshold is 1 % of the distance from the best floor control to the oracle, less than which
    nobody should read into a table.
``degraded_order``
    No damaged oracle leads the version it was made from (beyond noise and by more than the same 1 %), and at least one
    is seen to be worse. The value is the share of declared pairs in order. Blindness to one kind of damage is named,
    and no failure: a metric of directions need not see codes. Blindness to all of them is.
``null_floor``
    Each trivial control (floors, and what is derived from a method) is behind more than half of the methods, beyond
    noise. The value is the share for the control that does best. Fails where at least half of the methods are behind
    or level with it: a table sorted by the metric would then recommend a method that learnt nothing. A control built
    from a method counts only where it moves the metric at all.
``null_stated``
    The trivial methods get the value that the metric's own card states, to .05 where it says "about", else to 1e-6.
``permutation``, ``batch_size``
    Latents in another order, documents in another order, other batches: the value stays. Threshold: a relative
    difference of 1e-4, beyond the digits that tables show.

For information (never decides, since an honest metric is also noisy where methods do not differ):

``reseed_noise``
    The intraclass correlation: the share of the variance of single runs that is between methods. Threshold .5: one run
    tells more about its method than about its seed.
"""
