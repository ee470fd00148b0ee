package smoothing_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"assay/internal/model"
	"assay/internal/model/modeltest"
	"assay/internal/solution/smoothing"
	"assay/internal/stat"
)

// half answers 1 where w·x > b, and 0 elsewhere.
type half struct {
	w      []float64
	b      float64
	closed *bool
}

func (h half) Describe() model.Description {
	return model.Description{Shape: []int64{int64(len(h.w))}, Layout: model.Tabular, Range: model.Range{Low: -1, High: 1, Basis: "stated"}, Classes: []string{"0", "1"}, Output: model.Logits}
}

func (h half) Predict(ctx context.Context, rows, scores []float64) error {
	if _, err := h.Describe().Rows(rows, scores); err != nil {
		return err
	}
	if *h.closed {
		return context.DeadlineExceeded
	}
	for i := range len(rows) / len(h.w) {
		scores[2*i], scores[2*i+1] = 0, h.margin(rows[i*len(h.w):])
	}
	return ctx.Err()
}

func (h half) Close() error { *h.closed = true; return nil }

func (h half) margin(x []float64) float64 {
	sum := -h.b
	for i, w := range h.w {
		sum += w * x[i]
	}
	return sum
}

func plane() half { return half{w: []float64{3, 0, -4}, b: 0.5, closed: new(bool)} } // |w| = 5

func smoothed(t *testing.T, base model.Classifier, s model.Smoothing, seed uint64) *smoothing.Classifier {
	t.Helper()
	c, err := smoothing.New(base, s, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestSuite(t *testing.T) {
	modeltest.Run(t, func(t *testing.T) model.Classifier {
		return smoothed(t, plane(), model.Smoothing{Sigma: 0.5, N0: 10, N: 40, Alpha: 0.01, Batch: 16}, 1)
	}, []float64{0.1, 0.2, 0.3, -1, 0, 1, 0.5, 0, 0.25, 0, 0, 0})
}

// TestLinearRadius: what noise does not change about a half-space is known. A point at a distance d of its plane
// keeps its side with probability Φ(d/σ), and its radius is d itself: the certified one is never above it but with
// probability alpha, and near it with many draws.
func TestLinearRadius(t *testing.T) {
	const sigma = 0.7
	base := plane()
	c := smoothed(t, base, model.Smoothing{Sigma: sigma, N0: 100, N: 20000, Alpha: 0.001, Batch: 500}, 3)
	var rows, exact []float64
	var labels []int
	for i := range 40 {
		// Along the normal, from 0.05 to 2 beside the plane; every second one on the other side.
		d := 0.05 * float64(i+1)
		if i%2 == 1 {
			d = -d
		}
		for _, w := range base.w {
			rows = append(rows, w/25*(base.b+5*d))
		}
		exact = append(exact, d)
		labels = append(labels, 1-i%2)
	}
	certificates, err := c.Certify(context.Background(), rows, labels)
	if err != nil {
		t.Fatal(err)
	}
	above := 0
	for i, got := range certificates {
		want := math.Abs(exact[i])
		if got.Radius > want {
			above++
		}
		if got.Class != labels[i] || !got.Correct || got.Norm != "L2" || got.Confidence != 0.999 || got.Assumption == "" {
			t.Errorf("at %g: %+v", exact[i], got)
		}
		if got.Radius < want-0.05*sigma-0.05*want {
			t.Errorf("at %g the radius is %g", exact[i], got.Radius)
		}
	}
	if above > 1 { // of 40, each with a probability of 0.001: two happen once in 1,300 seeds
		t.Errorf("%d radii are above the exact ones", above)
	}
}

// TestRadius compares with closed forms: where all votes agree the bound is alpha^(1/n). With the paper's n of 100,000
// and alpha of 0.001 that is 3.81 σ, at which its figures end.
func TestRadius(t *testing.T) {
	for _, c := range []struct {
		votes, n int
		want     float64
	}{
		{100000, 100000, 3.811}, {1000, 1000, distuv.UnitNormal.Quantile(math.Pow(0.001, 1e-3))}, {50000, 100000, 0}, {0, 1000, 0}, {501, 1000, 0},
	} {
		got, err := smoothing.Radius(c.votes, model.Smoothing{Sigma: 2, N0: 1, N: c.n, Alpha: 0.001, Batch: 1})
		if err != nil || math.Abs(got/2-c.want) > 1e-3 {
			t.Errorf("%d of %d votes: radius %g σ (%v), want %g", c.votes, c.n, got/2, err, c.want)
		}
	}
	// In between, by the tail that the bound is defined by.
	got, err := smoothing.Radius(990, model.Smoothing{Sigma: 1, N0: 1, N: 1000, Alpha: 0.001, Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := distuv.UnitNormal.CDF(got)
	tail := 1 - distuv.Binomial{N: 1000, P: p}.CDF(989)
	if math.Abs(tail-0.001) > 1e-5 {
		t.Errorf("at the bound %g so many votes or more have a probability of %g", p, tail)
	}
}

// TestAbstains: on the plane itself both classes are as likely, and the classifier does not answer; far from it it
// does, with about as many votes as Φ says.
func TestAbstains(t *testing.T) {
	base := plane()
	c := smoothed(t, base, model.Smoothing{Sigma: 1, N0: 100, N: 2000, Alpha: 0.001, Batch: 100}, 5)
	d := c.Describe()
	if !d.Reject || !slices.Equal(d.Classes, []string{"0", "1", model.Refused}) {
		t.Fatalf("%+v", d)
	}
	on, far := make([]float64, 3), make([]float64, 3)
	for i, w := range base.w {
		on[i] = w / 25 * base.b
		far[i] = w / 25 * (base.b + 5*1)
	}
	scores := make([]float64, 6)
	if err := c.Predict(context.Background(), slices.Concat(on, far), scores); err != nil {
		t.Fatal(err)
	}
	if scores[2] != 1 || scores[5] != 0 {
		t.Errorf("on the plane and far from it: %v", scores)
	}
	want := distuv.UnitNormal.CDF(1)
	if interval, err := stat.ClopperPearson(int(math.Round(scores[4]*2000)), 2000, 0.9999); err != nil || want < interval.Lower || want > interval.Upper {
		t.Errorf("%g of the votes, want about %g (%v)", scores[4], want, err)
	}
	certificates, err := c.Certify(context.Background(), on, []int{1})
	if err != nil || certificates[0].Class != -1 || certificates[0].Radius != 0 || certificates[0].Correct {
		t.Errorf("on the plane: %+v, %v", certificates, err)
	}
}

// TestStreams: another seed draws other noise, and so does another row; certificates do not hang on the company.
func TestStreams(t *testing.T) {
	row, other := []float64{0.2, 0, 0.1}, []float64{0.2, 0, 0.1001}
	s := model.Smoothing{Sigma: 1, N0: 20, N: 300, Alpha: 0.01, Batch: 64}
	one, two := smoothed(t, plane(), s, 1), smoothed(t, plane(), s, 2)
	predict := func(c model.Classifier, row []float64) []float64 {
		scores := make([]float64, 3)
		if err := c.Predict(context.Background(), row, scores); err != nil {
			t.Fatal(err)
		}
		return scores
	}
	if slices.Equal(predict(one, row), predict(two, row)) && slices.Equal(predict(one, other), predict(two, other)) {
		t.Error("two seeds draw the same noise")
	}
	alone, err := one.Certify(context.Background(), row, []int{0})
	if err != nil {
		t.Fatal(err)
	}
	among, err := one.Certify(context.Background(), slices.Concat(other, row), []int{0, 0})
	if err != nil || among[1] != alone[0] {
		t.Errorf("%+v alone, and %+v (%v)", alone[0], among[1], err)
	}
}

// refusing is a classifier whose last class is a refusal.
type refusing struct{ half }

func (r refusing) Describe() model.Description {
	d := r.half.Describe()
	d.Reject = true
	return d
}

func TestNewRefuses(t *testing.T) {
	good := model.Smoothing{Sigma: 1, N0: 10, N: 100, Alpha: 0.001, Batch: 10}
	few, none := good, good
	few.N, none.Sigma = 8, 0
	for _, c := range []struct {
		base model.Classifier
		s    model.Smoothing
		want string
	}{{plane(), few, "give n 11 or more"}, {plane(), none, "sigma is 0"}, {refusing{plane()}, good, "refuses inputs by itself"}} {
		if _, err := smoothing.New(c.base, c.s, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if _, err := smoothed(t, plane(), good, 1).Certify(context.Background(), make([]float64, 5), []int{0}); err == nil {
		t.Error("five numbers are a row of three")
	}
}
