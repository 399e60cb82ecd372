"""Omaha 3.0 as update_engine speaks it: requests and answers as types, and their XML both ways.

The words are those of the protocol: https://github.com/google/omaha/blob/main/doc/ServerProtocolV3.md; what
update_engine makes of them is its `omaha_request_action.cc`. What we add are attributes that other programs
pass over: `reason` (words for a person) on `updatecheck` and `event`, `floor` on `manifest`.
"""
