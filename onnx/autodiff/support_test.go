package autodiff

import (
	"testing"

	"assay/onnx"
)

// TestRulesAreOfOperatorsThatExist keeps a mistyped name from being a rule for nothing.
func TestRulesAreOfOperatorsThatExist(t *testing.T) {
	runtimeOnly := map[string]bool{"SimplifiedLayerNormalization": true} // in ONNX's domain, by ONNX Runtime
	list := Operators()
	if len(list) <= len(onnx.Operators()) {
		t.Fatalf("%d operators are listed, and ONNX alone has %d", len(list), len(onnx.Operators()))
	}
	for _, c := range list[len(onnx.Operators()):] {
		if c.Domain != "com.microsoft" && !runtimeOnly[c.Name] {
			t.Errorf("%s has a rule, and neither ONNX nor ONNX Runtime has such an operator", c.Name)
		}
	}
	for _, set := range []map[string]bool{sources, withdrawn, takenApart} {
		for name := range set {
			if _, ok := onnx.LookupOperator("", name); !ok {
				t.Errorf("%s is no operator of ONNX", name)
			}
		}
	}
}

func TestSupport(t *testing.T) {
	want := map[string]Support{
		"Conv": Differentiable, "Attention": Rewritten, "LSTM": Rewritten, "Upsample": Rewritten, "SequenceAt": Rewritten,
		"QuantizeLinear": StraightThrough, "Round": Zero, "Shape": Zero, "Constant": Zero,
		"ArgMax": Unsupported, "TreeEnsemble": Unsupported, "QuickGelu": Rewritten,
	}
	for _, c := range Operators() {
		if w, ok := want[c.Name]; ok && c.Support != w {
			t.Errorf("%s: %s, want %s", c.Name, c.Support, w)
		}
		if c.Support == Unsupported && c.Unless == "" {
			t.Errorf("%s has no gradient, and no reason is given", c.Name)
		}
		delete(want, c.Name)
	}
	for name := range want {
		t.Errorf("%s is not listed", name)
	}
}
