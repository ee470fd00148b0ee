package evasion_test

import (
	"slices"
	"testing"

	"assay"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/onnx"
)

// TestBatteryInL0 attacks the example's undefended model: the random search that the battery rests on breaks what gradients do and more,
// with gradients and with scores alone, and all checks pass.
func TestBatteryInL0(t *testing.T) {
	schema, err := dataset.OpenSchema("../../../examples/digits/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := read(t, "../../../examples/digits/test.csv", dataset.Options{Schema: schema}, method.Raw, 2)
	s.attacker.Norm = method.L0
	m, err := onnx.Open("../../../examples/digits/models/undefended.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for _, access := range []assay.Access{assay.Gradients, assay.Scores} {
		s.attacker.Access = access
		failed, e := judge(t, s, m, 24)
		if len(failed) > 0 {
			t.Errorf("with %s the checks %v fail", access, failed)
		}
		only := map[string]int{}
		for _, r := range e.Units {
			for _, one := range r.Methods {
				if one.Success {
					only[one.Method]++
				}
			}
		}
		if only["sparse-rs"] < 16 || only["sparse-rs"] < only["pgd"] || only["sparse-rs"] < only["pgd-margin"] {
			t.Errorf("with %s %v", access, only)
		}
	}
}

// TestLabelsAlone: in Linf two searches by labels complement each other, and both are what the battery rests on.
func TestLabelsAlone(t *testing.T) {
	list := evasion.Defaults(assay.Labels, method.Linf, evasion.Usual())
	var names []string
	for _, m := range list {
		names = append(names, m.Describe().Name)
	}
	if !slices.Equal(names, []string{"noise", "hopskipjump", "rays"}) {
		t.Errorf("the methods are %v", names)
	}
	for access, want := range map[assay.Access]bool{assay.Scores: false, assay.Gradients: false} {
		rays := slices.ContainsFunc(evasion.Defaults(access, method.Linf, evasion.Usual()), func(m method.Method) bool { return m.Describe().Name == "rays" })
		if rays != want {
			t.Errorf("with %s, which shows more, RayS is %v", access, rays)
		}
	}
}
