"""`python -m argosy.node.provision` is the command `coreos-cloudinit`."""

from argosy.node.provision.cli import main

raise SystemExit(main())
