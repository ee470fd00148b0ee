package refusal_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"assay"
	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/method/evasion"
	"assay/internal/method/target"
	"assay/internal/model"
	"assay/internal/model/gradient"
	"assay/internal/model/ort"
	"assay/internal/solution/knn"
	"assay/internal/solution/mahalanobis"
	"assay/internal/solution/refusal"
	"assay/internal/solution/rejection"
	"assay/internal/solution/solutiontest"
	"assay/internal/solution/squeezing"
	"assay/internal/stat"
	"assay/onnx"
)

func detectors(t *testing.T, d *solutiontest.Digits) map[string]refusal.Detector {
	t.Helper()
	ctx := context.Background()
	layer, err := d.Classifier.Layer("")
	if err != nil {
		t.Fatal(err)
	}
	near, err := knn.Fit(ctx, d.Classifier, layer, 5, d.Fit.X, 1, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	far, err := mahalanobis.Fit(ctx, d.Classifier, layer, d.Fit.X, d.Fit.Labels, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	squeezers := []squeezing.Squeezer{squeezing.Depth{Bits: 3, Low: []float32{0}, High: []float32{16}}, squeezing.Depth{Bits: 2, Low: []float32{0}, High: []float32{16}}}
	return map[string]refusal.Detector{
		"neighbours": near, "mahalanobis": far, "squeezing": squeezing.Joint{Squeezers: squeezers},
		"probability": rejection.Detector{Measure: rejection.Probability}, "energy": rejection.Detector{Measure: rejection.Energy},
	}
}

// TestDetectors: of fresh pictures that nobody attacked a detector refuses no more than its bound says, and it
// costs no other accuracy; of what is no picture of a digit it refuses most.
func TestDetectors(t *testing.T) {
	d := solutiontest.Open(t)
	random := rand.New(rand.NewPCG(1, 0))
	strange := make([]float32, 200*64) // noise, with which none of these models was trained
	for i := range strange {
		strange[i] = float32(16 * random.IntN(2))
	}
	clean := solutiontest.Accuracy(t, d.Model, d.Test)
	for name, detector := range detectors(t, d) {
		t.Run(name, func(t *testing.T) {
			var threshold *refusal.Threshold
			straight := 0
			if name == "squeezing" {
				straight = 2
			}
			m := solutiontest.Sound(t, func() *onnx.Model {
				m, th, err := refusal.Add(context.Background(), d.Classifier, detector, d.Calibration.X, refusal.Rule{FPR: 0.05, Confidence: 0.95}, ort.Options{})
				if err != nil {
					t.Fatal(err)
				}
				threshold = th
				return m
			}, true, straight)
			if threshold.Upper > 0.05 || threshold.N != len(d.Calibration.Labels) || threshold.Refused == 0 {
				t.Errorf("%+v", threshold)
			}
			// The threshold is drawn too: at a bound that holds with 95 %, fresh records show more with a small
			// probability.
			refused, n := solutiontest.Refused(t, m, d.Test.X)
			if lower, err := stat.BinomialLower(refused, n, 0.99); err != nil || lower > threshold.Upper {
				t.Errorf("of %d fresh pictures %d are refused, and the bound is %g (%v)", n, refused, threshold.Upper, err)
			}
			odd, least := strange, 0.8
			switch name {
			case "probability", "energy": // who is sure of noise is not found by what he is unsure of
				odd, least = between(d.Test), 0.2
			case "squeezing": // which is for what was changed little, by who does not know of it
				odd, least = changed(t, d), 0.5
			}
			found, all := solutiontest.Refused(t, m, odd)
			accuracy := solutiontest.Accuracy(t, m, d.Test)
			t.Logf("%d of %d fresh pictures refused, %d of %d odd ones; accuracy %.3f of %.3f; %+v", refused, n, found, all, accuracy, clean, *threshold)
			if float64(found) < least*float64(all) {
				t.Errorf("of %d odd pictures %d are refused", all, found)
			}
			if accuracy < clean-float64(refused)/float64(n)-1e-9 {
				t.Errorf("the accuracy falls from %g to %g by %d refusals of %d", clean, accuracy, refused, n)
			}
			same(t, d, m)
		})
	}
}

// between gives pictures that are half one digit and half another.
func between(rows solutiontest.Rows) []float32 {
	const size = 64
	var out []float32
	for i := 1; i < len(rows.Labels); i++ {
		if rows.Labels[i] == rows.Labels[i-1] {
			continue
		}
		for k := range size {
			out = append(out, (rows.X[(i-1)*size+k]+rows.X[i*size+k])/2)
		}
	}
	return out
}

// changed gives some of the test's pictures, each moved along the model's gradient until it is another digit to it.
func changed(t *testing.T, d *solutiontest.Digits) []float32 {
	t.Helper()
	ctx := context.Background()
	g, err := gradient.New(ctx, d.Model, gradient.Options{Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var out []float32
	scores, loss, slope := make([]float32, 10), make([]float32, 1), make([]float32, 64)
	for i, label := range d.Test.Labels[:60] {
		x := slices.Clone(d.Test.X[i*64 : (i+1)*64])
		for step := range 200 {
			if err := g.Gradient(ctx, model.Margin, x, []int32{int32(label)}, nil, scores, loss, slope); err != nil {
				t.Fatal(err)
			}
			if loss[0] > 0 {
				if step > 0 { // it was right before
					out = append(out, x...)
				}
				break
			}
			length := 0.0
			for _, v := range slope {
				length += float64(v) * float64(v)
			}
			for k, v := range slope {
				x[k] = min(max(x[k]+float32(0.1*float64(v)/math.Sqrt(length)), 0), 16)
			}
		}
	}
	return out
}

// same checks that the classes' scores are the model's own.
func same(t *testing.T, d *solutiontest.Digits, m *onnx.Model) {
	t.Helper()
	_, own := solutiontest.Answers(t, d.Model, d.Test.X)
	_, with := solutiontest.Answers(t, m, d.Test.X)
	for i := range own {
		for k, v := range own[i] {
			if math.Abs(v-with[i][k]) > 1e-3 {
				t.Fatalf("picture %d: the score of class %d is %g, and was %g", i, k, with[i][k], v)
			}
		}
	}
}

// TestNoWall: the refusal must not stand between the classes as a wall that no slope leads over. An attack by slopes breaks about as many
// records of a model that refuses what it is unsure of as of the model without, which it is known to be as weak as.
func TestNoWall(t *testing.T) {
	folder := "../../../examples/diagnosis/"
	schema, err := dataset.OpenSchema(folder + "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	d, err := dataset.Load(ctx, folder+"test.csv", dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	without, err := onnx.Open(folder + "models/undefended.onnx")
	if err != nil {
		t.Fatal(err)
	}
	c := solutiontest.Classifier(t, without)
	for _, measure := range rejection.Measures() {
		with, _, err := refusal.Add(ctx, c, rejection.Detector{Measure: measure}, d.X, refusal.Rule{FPR: 0.1, Confidence: 0.95}, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		a, b := withstand(t, with, d), withstand(t, without, d)
		t.Logf("by %s: of %d records %d withstand with the refusal and %d without", measure, 60, a, b)
		if b > 30 || a > b+15 {
			t.Errorf("by %s: of %d records %d withstand with the refusal and %d without", measure, 60, a, b)
		}
	}
}

// withstand counts which of the first 60 records PGD does not break.
func withstand(t *testing.T, m *onnx.Model, d *dataset.Dataset) int {
	t.Helper()
	ctx := context.Background()
	o, err := target.Open(ctx, m, target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	rows, err := target.NewRows(d.Schema, o.Description)
	if err != nil {
		t.Fatal(err)
	}
	domain, err := method.DomainOf(d.Schema, nil, method.ByRange)
	if err != nil {
		t.Fatal(err)
	}
	o.Domain = rows.Domain(domain)
	indices := make([]int, 60)
	for i := range indices {
		indices[i] = i
	}
	pgd := evasion.PGD{Steps: 40, Step: 0.0625, Restarts: 1, Loss: model.CrossEntropy}
	results, err := method.Run(ctx, o.Target, method.Attacker{Access: assay.Gradients, Norm: method.Linf, Eps: 0.05}, []method.Method{pgd}, rows.Inputs(d, indices), method.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	robust := 0
	for _, r := range results {
		if r.Robust {
			robust++
		}
	}
	return robust
}

// TestCalibrate is right as often as it says: over many draws the true rate is above the allowed one in at most one
// of twenty.
func TestCalibrate(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 0))
	const runs, n, allowed = 2000, 150, 0.05
	wrong := 0
	for range runs {
		scores := make([]float32, n)
		for i := range scores {
			scores[i] = random.Float32()
		}
		threshold, err := refusal.Rule{FPR: allowed, Confidence: 0.95}.Calibrate(scores)
		if err != nil {
			t.Fatal(err)
		}
		if 1-threshold.Value > allowed { // of uniform scores
			wrong++
		}
	}
	if lower, err := stat.BinomialLower(wrong, runs, 0.999); err != nil || lower > 0.05 {
		t.Errorf("in %d of %d draws more than %g of the inputs are refused (%v)", wrong, runs, allowed, err)
	}
	if wrong < runs/100 {
		t.Errorf("in %d of %d draws only: the threshold is far higher than it need be", wrong, runs)
	}
}

func TestCalibrateRefuses(t *testing.T) {
	for _, c := range []struct {
		rule   refusal.Rule
		scores []float32
		want   string
	}{
		{refusal.Rule{FPR: 0.05, Confidence: 0.95}, make([]float32, 58), "calibrate on 59 or more"},
		{refusal.Rule{FPR: 0, Confidence: 0.95}, make([]float32, 58), "above 0 and below 1"},
		{refusal.Rule{FPR: 0.1, Confidence: 1}, make([]float32, 58), "confidence"},
		{refusal.Rule{FPR: 0.1, Confidence: 0.95}, nil, "there are none"},
		{refusal.Rule{FPR: 0.1, Confidence: 0.95}, slices.Repeat([]float32{float32(math.NaN())}, 100), "no number"},
	} {
		if _, err := c.rule.Calibrate(c.scores); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if _, err := (refusal.Rule{FPR: 0.05, Confidence: 0.95}).Calibrate(make([]float32, 59)); err != nil {
		t.Error(err)
	}
}
