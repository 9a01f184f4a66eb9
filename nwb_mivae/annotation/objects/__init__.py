"""Results as NWB objects: ``ndx-mivae`` series and tables that refer to the source's own tables."""

from nwb_mivae.annotation.objects.results import add_results

__all__ = ["add_results"]
