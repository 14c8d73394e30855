module homelab/tools/crds

go 1.26

require (
	github.com/argoproj/argo-rollouts v1.9.0
	github.com/backube/volsync v0.11.0
	github.com/bitnami-labs/sealed-secrets v0.40.0
	github.com/cert-manager/cert-manager v1.21.0
	github.com/cert-manager/trust-manager v0.25.0
	github.com/cilium/cilium v1.20.1
	github.com/cloudnative-pg/cloudnative-pg v1.29.0
	github.com/external-secrets/external-secrets v0.20.4
	github.com/kubernetes-csi/external-snapshotter/client/v8 v8.7.0
	github.com/kyverno/kyverno v1.19.1
	go.universe.tf/metallb v0.16.2
	sigs.k8s.io/gateway-api v1.6.1
)
