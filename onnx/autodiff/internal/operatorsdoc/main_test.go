package main

import (
	"os"
	"strings"
	"testing"

	"assay/onnx/autodiff"
)

func TestPageIsFresh(t *testing.T) {
	got, err := os.ReadFile("../../../../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page(autodiff.Operators()) {
		t.Error("docs/operators.md is stale: run go generate ./onnx/autodiff")
	}
}

// TestWays makes sure that the totals leave no operator out.
func TestWays(t *testing.T) {
	known := map[autodiff.Support]bool{}
	for _, w := range ways {
		known[w.support] = true
	}
	for _, c := range autodiff.Operators() {
		if !known[c.Support] {
			t.Errorf("%s has support %q, which the totals do not count", c.Name, c.Support)
		}
		if strings.Contains(c.Unless, "|") {
			t.Errorf("%s: the reason %q would break the table", c.Name, c.Unless)
		}
	}
}
