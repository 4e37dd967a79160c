//go:build tools

// Package tools names what build.sh builds, so that go.mod keeps it.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
