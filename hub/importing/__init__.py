"""What other tools' definitions say, in Yardarm's documents.

Argo CD, Flux and Rancher Fleet describe what runs where in files of a repository. This package reads those files and
answers with fleet documents as plain maps, each with the place it was made from, and with notes on everything that is
not carried over or means something else here. `yardarm import` writes the result down; the hub, pointed at a repository
without fleet documents, uses it as it is.

Nothing here does I/O: files are read through `files.Repository`, and where something must be rendered before it can be
read (a chart that makes Applications, a kustomization that patches HelmReleases) the answer says so in `wants`, and the
caller asks again with the rendered objects.
"""
