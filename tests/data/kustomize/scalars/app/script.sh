#!/bin/sh
cat <<EOD
---
a: b
EOD
