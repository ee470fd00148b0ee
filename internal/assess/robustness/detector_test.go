package robustness

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"assay"
	"assay/internal/assess"
	"assay/internal/solution/solutiontest"
	"assay/onnx"
)

// inkDetector scores a picture by how much ink there is on it. It takes pictures as rows of 64 numbers, and gives a column.
func inkDetector() *onnx.Model {
	b := onnx.NewBuilder("ink")
	x := b.Input("pixels", onnx.Float32, "n", 64)
	b.OutputAs("ink", b.Op("ReduceSum", onnx.Attrs{"keepdims": int64(1)}, x, b.Ints(1)), onnx.Float32, onnx.Dims("n", 1))
	b.OutputAs("pair", b.Op("Slice", nil, x, b.Ints(0), b.Ints(2), b.Ints(1)), onnx.Float32, onnx.Dims("n", 2))
	return b.Model()
}

func ink(x []float32) (sum float64) {
	for _, v := range x {
		sum += float64(v)
	}
	return sum
}

// TestDetector joins a detector in a file of its own to a model: what it scores above the threshold is not answered rightly, nothing
// else changes, and no adversarial example is one that it refuses.
func TestDetector(t *testing.T) {
	ctx := context.Background()
	const most = 310
	tester := New(described(t, 40, map[string]*onnx.Model{"plain.onnx": solutiontest.Open(t).Model, "ink.onnx": inkDetector()}, fmt.Sprintf(
		"  - {name: plain, file: plain.onnx}\n  - {name: given, file: plain.onnx, detector: {file: ink.onnx, output: ink, threshold: %d}}\n"+
			"  - {name: set, file: plain.onnx, detector: {file: ink.onnx, output: ink, fpr: 0.2, calibration: held}}\n", most)), "")
	defer tester.Close()
	about := func(name string) *assess.Test {
		return &assess.Test{Model: name, Data: "test", Seed: 1, Attacker: assess.Attacker{Access: assay.Gradients, Norm: "Linf", Eps: 3, Unit: "raw"}}
	}
	units := make([]int, 40)
	for i := range units {
		units[i] = i
	}
	clean := map[string][]bool{}
	for _, name := range []string{"plain", "given", "set"} {
		right, err := tester.Clean(ctx, about(name), units)
		if err != nil {
			t.Fatal(err)
		}
		clean[name] = right
	}
	p, err := tester.prepare(ctx, about("given"))
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i, right := range clean["given"] {
		above := ink(p.records.Record(i)) > most
		if above {
			refused++
		}
		if right != (clean["plain"][i] && !above) {
			t.Errorf("record %d, with the ink %g: right is %v with the detector and %v without", i, ink(p.records.Record(i)), right, clean["plain"][i])
		}
	}
	said := fmt.Sprintf("it refuses what it scores above 310, as %d of 40 records that nobody attacked", refused)
	if refused < 5 || refused > 35 || !slices.ContainsFunc(p.remarks, func(r string) bool { return strings.Contains(r, said) }) {
		t.Errorf("%d are refused, and it says %q", refused, p.remarks)
	}
	if all := len(slices.DeleteFunc(slices.Clone(clean["set"]), func(right bool) bool { return !right })); all < 25 {
		t.Errorf("with a threshold that refuses at most a fifth, %d of 40 are right", all)
	}

	seen, err := tester.Observe(ctx, about("given"), units[:12])
	if err != nil {
		t.Fatal(err)
	}
	broken := 0
	for _, o := range seen {
		var d detail
		if err := json.Unmarshal(o.Detail, &d); err != nil {
			t.Fatal(err)
		}
		if d.Example == nil {
			continue
		}
		broken++
		if got := ink(decode(d.Example)); got > most {
			t.Errorf("unit %d is broken by a picture with the ink %g, which the detector refuses", o.Unit, got)
		}
	}
	if broken == 0 {
		t.Error("nothing is broken, at an eps at which an undefended model breaks")
	}
}

// TestDetectorMistakes: what does not fit is said with the line of the detector.
func TestDetectorMistakes(t *testing.T) {
	plain := solutiontest.Open(t).Model
	narrow := onnx.NewBuilder("narrow")
	narrow.Output(narrow.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, narrow.Input("x", onnx.Float32, "n", 5), narrow.Ints(1)), onnx.Float32, onnx.Dims("n"))
	for detector, want := range map[string]string{
		"{file: ink.onnx, output: inc, threshold: 1}":                  `ink.onnx: it has no output "inc": name one of ink, pair`,
		"{file: ink.onnx, threshold: 1}":                               `ink.onnx: it has no output "": name one of ink, pair`,
		"{file: ink.onnx, output: pair, threshold: 1}":                 `a score is one floating-point number for each row`,
		"{file: narrow.onnx, threshold: 1}":                            `and a row of the model has 64 numbers`,
		"{file: schema.yaml, threshold: 1}":                            `models[0].detector.file`,
		"{file: ink.onnx, output: ink, fpr: 0.001, calibration: held}": `100 records cannot show that at most 0.001 of the inputs are refused`,
	} {
		s := described(t, 30, map[string]*onnx.Model{"plain.onnx": plain, "ink.onnx": inkDetector(), "narrow.onnx": narrow.Model()}, "  - name: m\n    file: plain.onnx\n    detector: "+detector+"\n")
		tester := New(s, "")
		_, err := tester.Clean(context.Background(), &assess.Test{Model: "m", Data: "test", Attacker: assess.Attacker{Access: assay.Scores, Norm: "Linf", Eps: 1, Unit: "raw"}}, []int{0})
		tester.Close()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "assay.yaml:9:") || assay.CodeOf(err) != assay.CodeInput {
			t.Errorf("%s: %v", detector, err)
		}
	}
}
