package inversion

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/stat"
)

// Rate is a part of trials with its exact bounds (Clopper and Pearson).
type Rate struct {
	Part  float64 `json:"part"`
	Lower float64 `json:"lower"`
	Upper float64 `json:"upper"`
}

func rateOf(k, n int, confidence float64) (Rate, error) {
	b, err := stat.ClopperPearson(k, n, confidence)
	return Rate{float64(k) / float64(n), b.Lower, b.Upper}, err
}

// Records are rows in a model's layout with their classes.
type Records struct {
	Rows   [][]float32
	Labels []int
}

// Attempt is what came of the update of one record. Errors are mean squares over the numbers of a row, in units
// of their limits, where 0 is the record itself.
type Attempt struct {
	Record  int       `json:"-"` // of those audited
	Made    []float32 `json:"-"` // the row that was made of the update
	Mean    []float32 `json:"-"` // the prior's of the class
	Nearest []float32 `json:"-"` // of the prior's records

	Label     int     `json:"-"`
	LabelRead int     `json:"-"`
	Cosine    float64 `json:"cosine"`
	Error     float64 `json:"error"` // of what was made
	// OfMean and OfNearest are the errors of who knows the prior alone: of the mean of its records of the class, and of the one
	// among its records that is nearest to the truth, which nobody could choose without knowing that.
	OfMean    float64 `json:"error_of_mean"`
	OfNearest float64 `json:"error_of_nearest"`
	SSIM      float64 `json:"ssim,omitempty"` // of images: the structural similarity, 1 for the record itself
	Leaked    bool    `json:"leaked"`         // what was made is nearer than both
}

// GradientAudit is what updates give away.
type GradientAudit struct {
	Attempts []Attempt `json:"attempts"`
	Leaked   Rate      `json:"leaked"` // the part of records nearer to which an attacker gets than any prior
	Labels   Rate      `json:"labels"` // the part of labels read off
	Guessed  float64   `json:"labels_guessed"`
}

// Audit makes the update of each of some records, tries to undo it, and compares with what the prior alone tells: other
// records from the same distribution, of which the attacker knows the labels. Noise is nil for updates as they are.
func (l *Leak) Audit(ctx context.Context, records, prior Records, n *Noise, o Options, confidence float64, progress func(done, total int)) (*GradientAudit, error) {
	if len(records.Rows) == 0 || len(prior.Rows) == 0 {
		return nil, errors.New("an audit of updates needs records, and others as a prior")
	}
	a := &GradientAudit{}
	leaked, read := 0, 0
	counts := make([]int, l.classes)
	for i, row := range records.Rows {
		if len(row) != len(o.Low) || len(row) != len(o.High) {
			return nil, fmt.Errorf("record %d has %d numbers, and there are limits of %d", i+1, len(row), len(o.Low))
		}
		own := o
		own.Seed = o.Seed + uint64(i)
		u, err := l.Update(ctx, row, records.Labels[i], n, rand.New(rand.NewPCG(own.Seed, 11)))
		if err != nil {
			return nil, err
		}
		made, err := l.Reconstruct(ctx, u, own)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i+1, err)
		}
		t := Attempt{Record: i, Made: made.Row, Label: records.Labels[i], LabelRead: made.Label, Cosine: made.Cosine}
		t.compare(row, prior, o)
		counts[t.Label]++
		if t.Leaked {
			leaked++
		}
		if t.Label == t.LabelRead {
			read++
		}
		a.Attempts = append(a.Attempts, t)
		if progress != nil {
			progress(i+1, len(records.Rows))
		}
	}
	for _, c := range counts {
		a.Guessed = max(a.Guessed, float64(c)/float64(len(a.Attempts)))
	}
	var err error
	if a.Leaked, err = rateOf(leaked, len(a.Attempts), confidence); err != nil {
		return nil, err
	}
	a.Labels, err = rateOf(read, len(a.Attempts), confidence)
	return a, err
}

// compare measures what was made, and what the prior alone gives.
func (t *Attempt) compare(truth []float32, prior Records, o Options) {
	t.Error = o.distance(t.Made, truth)
	t.OfNearest = math.Inf(1)
	for _, row := range prior.Rows {
		if d := o.distance(row, truth); d < t.OfNearest {
			t.OfNearest, t.Nearest = d, row
		}
	}
	t.Mean = prior.Mean(t.Label)
	t.OfMean = o.distance(t.Mean, truth)
	t.Leaked = t.Error < t.OfNearest && t.Error < t.OfMean
	if len(o.Image) == 3 {
		t.SSIM = o.similarity(t.Made, truth)
	}
}

// Mean is that of the rows of a class, and of all rows where none is of it.
func (r Records) Mean(class int) []float32 {
	if !slices.Contains(r.Labels, class) {
		class = -1
	}
	sum, n := make([]float64, len(r.Rows[0])), 0
	for i, row := range r.Rows {
		if class >= 0 && r.Labels[i] != class {
			continue
		}
		n++
		for j, v := range row {
			sum[j] += float64(v)
		}
	}
	out := make([]float32, len(sum))
	for j, v := range sum {
		out[j] = float32(v / float64(n))
	}
	return out
}

// distance is the mean square over numbers, in units of their limits. Numbers of one value do not count.
func (o *Options) distance(a, b []float32) (sum float64) {
	n := 0
	for i := range a {
		if span := float64(o.High[i]) - float64(o.Low[i]); span > 0 {
			d := (float64(a[i]) - float64(b[i])) / span
			sum += d * d
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// similarity is the structural similarity of two images (Wang et al. 2004, equation 13, K1 = 0.01 and K2 = 0.03), its mean over all windows of
// 7 by 7 pixels, or of the image where that is smaller. Departure: windows are even, not Gaussian.
func (o *Options) similarity(a, b []float32) float64 {
	const c1, c2 = 0.01 * 0.01, 0.03 * 0.03
	channels, h, w := o.Image[0], o.Image[1], o.Image[2]
	wide, high := min(7, w), min(7, h)
	level := func(x []float32, i int) float64 {
		return (float64(x[i]) - float64(o.Low[i])) / max(float64(o.High[i])-float64(o.Low[i]), math.SmallestNonzeroFloat32)
	}
	total, windows := 0.0, 0
	for c := range channels {
		for y := range h - high + 1 {
			for x := range w - wide + 1 {
				var ma, mb, aa, bb, ab float64
				for dy := range high {
					for dx := range wide {
						i := (c*h+y+dy)*w + x + dx
						va, vb := level(a, i), level(b, i)
						ma, mb, aa, bb, ab = ma+va, mb+vb, aa+va*va, bb+vb*vb, ab+va*vb
					}
				}
				n := float64(wide * high)
				ma, mb = ma/n, mb/n
				aa, bb, ab = aa/n-ma*ma, bb/n-mb*mb, ab/n-ma*mb
				total += (2*ma*mb + c1) * (2*ab + c2) / ((ma*ma + mb*mb + c1) * (aa + bb + c2))
				windows++
			}
		}
	}
	return total / float64(windows)
}
