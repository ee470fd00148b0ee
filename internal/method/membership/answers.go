package membership

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"assay/internal/model"
	"assay/internal/train"
)

// Answers is what a model says of n records, in Queries queries of each: the record itself first, then as it is augmented.
type Answers struct {
	Queries int
	Logit   []float64 // n × Queries: log(p/(1-p)) of the probability p of the record's own class (Carlini et al. 2022, equation 4)
	Hit     []bool    // n × Queries: the model gives the record's own class
	Top     []float64 // n: the largest probability of any class, of the record itself
}

// Loss is the cross-entropy of a record in its first query.
func (a *Answers) Loss(i int) float64 { return softplus(-a.Logit[i*a.Queries]) }

// softplus is log(1+exp(x)).
func softplus(x float64) float64 {
	if x > 30 {
		return x
	}
	return math.Log1p(math.Exp(x))
}

// Augmentation is further queries of each record. Images are moved by one pixel, the first eight in each direction, and further
// ones by two and more; other records are given normal noise of Noise times each number's standard deviation, the same for every model.
type Augmentation struct {
	Queries int     // of each record, beside the record itself
	Noise   float64 // of records that are no images; 0.1 where 0
	Seed    uint64
}

// rowsAtOnce bounds the rows that a model is asked about in one call.
const rowsAtOnce = 512

// ask asks a model about all records.
func ask(ctx context.Context, v Victim, d *train.Data, a Augmentation) (*Answers, error) {
	n, queries := d.Len(), 1+a.Queries
	out := &Answers{Queries: queries, Logit: make([]float64, n*queries), Hit: make([]bool, n*queries), Top: make([]float64, n)}
	describe := v.Model.Describe()
	classes := len(describe.Classes)
	width := len(d.X) / n
	augment := newAugmenter(a, d)
	var rows []float64
	record := make([]float32, width)
	for from := 0; from < n*queries; from += rowsAtOnce {
		to := min(from+rowsAtOnce, n*queries)
		rows = rows[:0]
		for at := from; at < to; at++ {
			augment.query(at/queries, at%queries, record)
			row := record
			if v.Row != nil {
				row = v.Row(record)
			}
			for _, x := range row {
				rows = append(rows, float64(x))
			}
		}
		scores := make([]float64, (to-from)*classes)
		if err := v.Model.Predict(ctx, rows, scores); err != nil {
			return nil, fmt.Errorf("asking the model about records from %d: %w", from/queries+1, err)
		}
		for at := from; at < to; at++ {
			i, q := at/queries, at%queries
			y := int(d.Classes[i])
			if v.Class != nil {
				y = v.Class(y)
			}
			if y < 0 || y >= classes {
				return nil, fmt.Errorf("record %d is of a class that the model does not have", i+1)
			}
			logit, top, hit, err := confidence(scores[(at-from)*classes:][:classes], y, describe.Output)
			if err != nil {
				return nil, fmt.Errorf("record %d: %w", i+1, err)
			}
			out.Logit[at], out.Hit[at] = logit, hit
			if q == 0 {
				out.Top[i] = top
			}
		}
	}
	return out, nil
}

// least is added to probabilities whose logarithm is taken, as rounding leaves none of some.
const least = 1e-20

// confidence gives the logit of class y's probability, the largest probability, and whether y has it.
func confidence(scores []float64, y int, output model.Output) (logit, top float64, hit bool, err error) {
	best := 0
	for k, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return 0, 0, false, fmt.Errorf("the model's score of class %d is %v, and no membership can be read off that", k, s)
		}
		if s > scores[best] {
			best = k
		}
	}
	if output == model.Logits {
		others, all := math.Inf(-1), math.Inf(-1)
		for k, s := range scores {
			all = logSum(all, s)
			if k != y {
				others = logSum(others, s)
			}
		}
		return scores[y] - others, math.Exp(scores[best] - all), best == y, nil
	}
	others := 0.0
	for k, s := range scores {
		if k != y {
			others += max(s, 0)
		}
	}
	return math.Log(max(scores[y], 0)+least) - math.Log(others+least), scores[best], best == y, nil
}

// logSum is log(exp(a)+exp(b)).
func logSum(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// augmenter makes queries of records.
type augmenter struct {
	Augmentation
	data      *train.Data
	width     int
	deviation []float64 // of each number; nil for images
}

func newAugmenter(a Augmentation, d *train.Data) *augmenter {
	g := &augmenter{Augmentation: a, data: d, width: len(d.X) / d.Len()}
	if g.Noise == 0 {
		g.Noise = 0.1
	}
	if len(d.Shape) == 3 || a.Queries == 0 {
		return g
	}
	g.deviation = make([]float64, g.width)
	for j := range g.deviation {
		sum, squares, n := 0.0, 0.0, float64(d.Len())
		for i := j; i < len(d.X); i += g.width {
			sum += float64(d.X[i])
		}
		for i := j; i < len(d.X); i += g.width {
			c := float64(d.X[i]) - sum/n
			squares += c * c
		}
		g.deviation[j] = math.Sqrt(squares / n)
	}
	return g
}

// query writes the query q of a record; 0 is the record itself.
func (g *augmenter) query(i, q int, to []float32) {
	record := g.data.X[i*g.width : (i+1)*g.width]
	copy(to, record)
	switch {
	case q == 0:
	case g.deviation == nil:
		shift(record, to, g.data.Shape, q-1)
	default:
		rng := rand.New(rand.NewPCG(g.Seed^uint64(i), uint64(q)))
		for j := range to {
			to[j] += float32(g.Noise * g.deviation[j] * rng.NormFloat64())
		}
	}
}

// shift moves an image of channels, height and width; the edge's pixels fill what is left.
func shift(from, to []float32, shape []int, k int) {
	directions := [8][2]int{{0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {1, -1}, {-1, 1}, {-1, -1}}
	far := 1 + k/8
	dy, dx := far*directions[k%8][0], far*directions[k%8][1]
	h, w := shape[1], shape[2]
	for c := range shape[0] {
		for y := range h {
			for x := range w {
				sy, sx := min(max(y+dy, 0), h-1), min(max(x+dx, 0), w-1)
				to[(c*h+y)*w+x] = from[(c*h+sy)*w+sx]
			}
		}
	}
}
