package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/model/ort"
	"assay/internal/solution/mahalanobis"
	"assay/internal/solution/refusal"
	"assay/internal/solution/solutiontest"
	"assay/onnx"
)

// brokenDefences are measures of which the literature has shown that they only look good, each built into the example's
// model that nothing defends.
var brokenDefences = map[string]func(t *testing.T, m *onnx.Model) *onnx.Model{
	"distilled": distilled, "quantised": quantised, "resized": resized, "detector": detector,
}

// distilled makes probabilities of logits a hundred times as large, as a network has them that was distilled at a high temperature
// and runs at 1 (Papernot et al. 2016, arXiv:1511.04508; broken by Carlini and Wagner 2017, arXiv:1608.04644).
func distilled(_ *testing.T, m *onnx.Model) *onnx.Model {
	b := onnx.Extend(m.Graph)
	out := m.Graph.Outputs[0]
	sharp := b.Op("Mul", nil, out.Name, b.Number(onnx.Float32, 100))
	m.Graph.Outputs = nil
	b.Output(b.OpAs("probabilities", "Softmax", nil, sharp), onnx.Float32, out.Type.Shape)
	return m
}

// before puts nodes between the input and those that read it.
func before(t *testing.T, m *onnx.Model, add func(b *onnx.Builder, x string) string) *onnx.Model {
	t.Helper()
	input, old := m.Graph.FreeInputs()[0].Name, slices.Clone(m.Graph.Nodes)
	b := onnx.Extend(m.Graph)
	y := add(b, input)
	for _, n := range old {
		for i, name := range n.Inputs {
			if name == input {
				n.Inputs[i] = y
			}
		}
	}
	if err := m.Sort(); err != nil {
		t.Fatal(err)
	}
	return m
}

// quantised looks up which of some levels a pixel belongs to by comparisons: no gradient (Buckman et al. 2018, thermometer
// encoding, and Xu et al. 2018; broken by Athalye et al. 2018, arXiv:1802.00420).
func quantised(t *testing.T, m *onnx.Model) *onnx.Model {
	return before(t, m, func(b *onnx.Builder, x string) string {
		level := b.Number(onnx.Float32, 0)
		for _, threshold := range []float64{1.5, 4.5, 7.5, 10.5, 13.5} {
			above := b.Op("Greater", nil, x, b.Number(onnx.Float32, threshold))
			level = b.Op("Add", nil, level, b.Op("Where", nil, above, b.Number(onnx.Float32, 3), b.Number(onnx.Float32, 0)))
		}
		return level
	})
}

// resized scales and moves each picture at random (Xie et al. 2018, arXiv:1711.01991; broken by Athalye et al. 2018).
func resized(t *testing.T, m *onnx.Model) *onnx.Model {
	return before(t, m, func(b *onnx.Builder, x string) string {
		place := b.Op("Slice", nil, x, b.Ints(0, 0, 0), b.Ints(1, 1, 3), b.Ints(1, 2, 3))
		drawn := b.Op("Reshape", nil, b.Op("RandomUniformLike", onnx.Attrs{"low": float32(-1), "high": float32(1)}, place), b.Ints(0, 3))
		part := func(from int64, scale, shift float64) string {
			v := b.Op("Slice", nil, drawn, b.Ints(from), b.Ints(from+1), b.Ints(1))
			return b.Op("Add", nil, b.Op("Mul", nil, v, b.Number(onnx.Float32, scale)), b.Number(onnx.Float32, shift))
		}
		size, nothing := part(0, 0.08, 1), b.Op("Mul", nil, part(0, 1, 0), b.Number(onnx.Float32, 0))
		theta := b.Op("Concat", onnx.Attrs{"axis": int64(1)}, size, nothing, part(1, 0.12, 0), nothing, size, part(2, 0.12, 0))
		batch := b.Op("Shape", onnx.Attrs{"start": int64(0), "end": int64(1)}, x)
		grid := b.Op("AffineGrid", nil, b.Op("Reshape", nil, theta, b.Ints(-1, 2, 3)), b.Op("Concat", onnx.Attrs{"axis": int64(0)}, batch, b.Ints(1, 8, 8)))
		return b.Op("GridSample", nil, x, grid)
	})
}

// detector refuses what lies far from all classes on the model's last layer (Lee et al. 2018, arXiv:1807.03888).
func detector(t *testing.T, _ *onnx.Model) *onnx.Model {
	ctx, d := context.Background(), solutiontest.Open(t)
	layer := ""
	for _, n := range d.Model.Graph.Nodes {
		if n.Op == "Gemm" || n.Op == "MatMul" {
			layer = n.Inputs[0]
		}
	}
	far, err := mahalanobis.Fit(ctx, d.Classifier, layer, d.Fit.X, d.Fit.Labels, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := refusal.Add(ctx, d.Classifier, far, d.Calibration.X, refusal.Rule{FPR: 0.05, Confidence: 0.95}, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const defencesHead = `version: 1
system: {name: reader, stage: verification, modality: image, risk: medium}
data:
  - {name: test, file: test.csv, schema: schema.yaml}
models:
`

// newDefences is a system of the digits' models with one solution for each of some.
func newDefences(t *testing.T, models map[string]*onnx.Model, names ...string) *clinic {
	t.Helper()
	description := defencesHead
	for _, name := range append([]string{"undefended"}, names...) {
		description += fmt.Sprintf("  - {name: %s, file: %s.onnx, classes: [%s], range: [0, 16]}\n", name, name, `"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"`)
	}
	solutions, goals := "solutions:\n", "goals:\n"
	for _, name := range names {
		solutions += fmt.Sprintf("  - {name: with-%s, cells: [evasion/prevent], model: %s, without: undefended}\n", name, name)
		goals += fmt.Sprintf(`  - goal: evasion-prevent
    solution: with-%s
    data: test
    reason: few records
    attacker: {access: gradients, norm: Linf, eps: 2, unit: raw, queries: 1000}
    criterion: {limit: 0.45, sampling: {rule: fixed, n: 48, assumed: 0.05}}
`, name)
	}
	c := newClinic(t, description+solutions+goals)
	from := filepath.Join("..", "..", "examples", "digits")
	for _, name := range []string{"models/undefended.onnx", "models/hardened.onnx", "schema.yaml", "test.csv"} {
		content, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		c.write(filepath.Base(name), string(content))
	}
	for name, m := range models {
		if err := m.Save(c.path(name + ".onnx")); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestBrokenDefences: a measure that withstands only those who do not know it is not adequate, and adversarial training
// on the same data is.
func TestBrokenDefences(t *testing.T) {
	if testing.Short() {
		t.Skip("attacks models")
	}
	models := map[string]*onnx.Model{}
	names := []string{"hardened"}
	for name, build := range brokenDefences {
		m, err := onnx.Open(filepath.Join("..", "..", "examples", "digits", "models", "undefended.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		models[name] = build(t, m)
		names = append(names, name)
	}
	slices.Sort(names)
	c := newDefences(t, models, names...)
	d := c.assess()
	for _, name := range names {
		outcome, reason := d.outcome(t, "evasion-prevent.with-"+name)
		t.Logf("%s is %s: %s", name, outcome, reason)
		if want := name == "hardened"; (outcome == "adequate") != want || outcome == "undecided" {
			t.Errorf("%s is %s", name, outcome)
		}
		if outcome == "inadequate" && !strings.Contains(reason, "Attacks that do not know of the solution") && name != "distilled" {
			t.Errorf("the reason of %s does not compare with attacks that do not know of it", name)
		}
	}
}
