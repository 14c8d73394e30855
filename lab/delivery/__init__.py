"""The rehearsed way from Git to the cluster: the prepared tree, a Git server, and Argo CD's programs.

`lab.delivery.prepared_tree` replaces hardware and credentials in a copy of the checkout, `lab.delivery.git_server`
serves it, `lab.delivery.argocd` runs Argo CD, and `lab.delivery.web_ui` finds its page. `lab.delivery.repo_server`
requests renders of any commit, with what `lab.delivery.argocd_cache` reads from Argo CD's cache.
"""
