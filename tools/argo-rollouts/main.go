// The Gateway API plugin of Argo Rollouts in a rehearsal: it writes the weights of a canary into its HTTPRoutes.
//
// It stands in for argoproj-labs/rollouts-plugin-trafficrouter-gatewayapi, and makes the same changes: both weights in
// every rule with the two Services, and a label while the canary has requests. Not simulated, and refused: other kinds of
// routes, selectors of routes, routes by header, and Services of experiments.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/rollout/trafficrouting/plugin/rpc"
	"github.com/argoproj/argo-rollouts/utils/plugin/types"
	"github.com/hashicorp/go-plugin"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
)

const (
	name       = "argoproj-labs/gatewayAPI"
	labelKey   = "rollouts.argoproj.io/gatewayapi-canary"
	labelValue = "in-progress"
)

var httpRoutes = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}

// settings are those of a Rollout for this plugin; a field that it does not know is refused.
type settings struct {
	Namespace  string  `json:"namespace"`
	HTTPRoute  string  `json:"httpRoute"`
	HTTPRoutes []route `json:"httpRoutes"`
	NoLabel    bool    `json:"disableInProgressLabel"`
	LabelKey   string  `json:"inProgressLabelKey"`
	LabelValue string  `json:"inProgressLabelValue"`
}

type route struct {
	Name            string `json:"name"`
	UseHeaderRoutes bool   `json:"useHeaderRoutes"`
}

type router struct {
	client dynamic.Interface
}

// InitPlugin connects to the API server of KUBECONFIG.
func (r *router) InitPlugin() types.RpcError {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err == nil {
		r.client, err = dynamic.NewForConfig(config)
	}
	return failed(err)
}

// SetWeight writes the weights into each HTTPRoute of a Rollout.
func (r *router) SetWeight(rollout *v1alpha1.Rollout, weight int32, additional []v1alpha1.WeightDestination) types.RpcError {
	if len(additional) > 0 {
		return refused("the Services of an experiment")
	}
	wanted, err := settingsOf(rollout)
	if err != nil {
		return failed(err)
	}
	for _, one := range wanted.HTTPRoutes {
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error { return r.write(rollout, wanted, one.Name, weight) })
		if err != nil {
			return failed(err)
		}
	}
	return types.RpcError{}
}

func (r *router) write(rollout *v1alpha1.Rollout, wanted settings, name string, weight int32) error {
	routes := r.client.Resource(httpRoutes).Namespace(wanted.Namespace)
	found, err := routes.Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	canary := rollout.Spec.Strategy.Canary
	weights := map[string]int64{canary.CanaryService: int64(weight), canary.StableService: int64(100 - weight)}
	if err := setWeights(found, weights); err != nil {
		return err
	}
	label(found, wanted, weight)
	_, err = routes.Update(context.Background(), found, metav1.UpdateOptions{})
	return err
}

func setWeights(found *unstructured.Unstructured, weights map[string]int64) error {
	rules, _, err := unstructured.NestedSlice(found.Object, "spec", "rules")
	if err != nil {
		return err
	}
	written := map[string]bool{}
	for _, rule := range rules {
		backends, _ := rule.(map[string]any)["backendRefs"].([]any)
		for _, one := range backends {
			backend := one.(map[string]any)
			service, _ := backend["name"].(string)
			if weight, ok := weights[service]; ok {
				backend["weight"] = weight
				written[service] = true
			}
		}
	}
	if len(written) < len(weights) {
		return fmt.Errorf("backendRef was not found in httpRoute")
	}
	return unstructured.SetNestedSlice(found.Object, rules, "spec", "rules")
}

func label(found *unstructured.Unstructured, wanted settings, weight int32) {
	if wanted.NoLabel {
		return
	}
	labels := found.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	if weight == 0 {
		delete(labels, wanted.LabelKey)
	} else {
		labels[wanted.LabelKey] = wanted.LabelValue
	}
	found.SetLabels(labels)
}

func settingsOf(rollout *v1alpha1.Rollout) (settings, error) {
	found := settings{Namespace: rollout.Namespace, LabelKey: labelKey, LabelValue: labelValue}
	reader := json.NewDecoder(strings.NewReader(string(rollout.Spec.Strategy.Canary.TrafficRouting.Plugins[name])))
	reader.DisallowUnknownFields()
	if err := reader.Decode(&found); err != nil {
		return found, fmt.Errorf("%s, as far as a rehearsal knows it: %w", name, err)
	}
	if found.HTTPRoute != "" {
		found.HTTPRoutes = append(found.HTTPRoutes, route{Name: found.HTTPRoute})
	}
	if len(found.HTTPRoutes) == 0 {
		return found, fmt.Errorf("no routes configured: httpRoute or httpRoutes must be set")
	}
	return found, nil
}

// SetHeaderRoute is refused.
func (r *router) SetHeaderRoute(*v1alpha1.Rollout, *v1alpha1.SetHeaderRoute) types.RpcError {
	return refused("a route by header")
}

// SetMirrorRoute does nothing, as in the plugin that this one stands in for.
func (r *router) SetMirrorRoute(*v1alpha1.Rollout, *v1alpha1.SetMirrorRoute) types.RpcError {
	return types.RpcError{}
}

// UpdateHash does nothing: the Services have the hash.
func (r *router) UpdateHash(*v1alpha1.Rollout, string, string, []v1alpha1.WeightDestination) types.RpcError {
	return types.RpcError{}
}

// VerifyWeight reports that the API server has stored the weights; no packet flows.
func (r *router) VerifyWeight(*v1alpha1.Rollout, int32, []v1alpha1.WeightDestination) (types.RpcVerified, types.RpcError) {
	return types.Verified, types.RpcError{}
}

// RemoveManagedRoutes does nothing: this plugin adds no rules.
func (r *router) RemoveManagedRoutes(*v1alpha1.Rollout) types.RpcError {
	return types.RpcError{}
}

// Type returns the name in Rollouts' messages.
func (r *router) Type() string {
	return "GatewayAPI"
}

func failed(err error) types.RpcError {
	if err == nil {
		return types.RpcError{}
	}
	return types.RpcError{ErrorString: err.Error()}
}

func refused(what string) types.RpcError {
	return types.RpcError{ErrorString: fmt.Sprintf("%s: a rehearsal does not simulate %s", name, what)}
}

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  1,
			MagicCookieKey:   "ARGO_ROLLOUTS_RPC_PLUGIN",
			MagicCookieValue: "trafficrouter",
		},
		Plugins: map[string]plugin.Plugin{"RpcTrafficRouterPlugin": &rpc.RpcTrafficRouterPlugin{Impl: &router{}}},
	})
}
