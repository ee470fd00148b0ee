package backdoor

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/method"
	"assay/internal/method/poisoning/plant"
	"assay/internal/model"
)

// Inversion is how a trigger is searched: what makes records of all other classes one class's, at the least cost. It is the
// optimisation of Neural Cleanse (Wang et al. 2019, IEEE S&P, section IV, equation 3): Adam on cross-entropy plus a weight
// times the cost, the weight raised while the trigger succeeds and lowered while it does not. A zero field stands for what is given beside it.
type Inversion struct {
	Passes  int     // over the records for each class, at most: 80
	Success float64 // the part of the records that a trigger must move: 0.99, the paper's
}

// Constants of the authors' program.
const (
	firstWeight = 1e-3
	weightUp    = 1.5
	patience    = 5  // passes of the same outcome after which the weight changes
	still       = 25 // passes without a better trigger after which the search ends
	adamRate    = 0.1
	adamFirst   = 0.5
	adamSecond  = 0.9
	batch       = 32
)

// form is a kind of trigger, with the numbers that it is searched by.
type form interface {
	// numbers are those that are searched. They may be any.
	numbers() []float64
	// refresh makes the trigger of the numbers, and gives its cost and the most that it can be.
	refresh() (cost, most float64)
	// apply writes a record with the trigger. Whole numbers and categories need not be whole.
	apply(record, x []float32)
	// back adds the slope by the numbers, from that by a record with the trigger.
	back(record, slope []float32, to []float64)
	// weigh adds the slope of the cost.
	weigh(weight float64, to []float64)
	// trigger gives the trigger for records that may occur.
	trigger() plant.Trigger
}

// run searches a trigger of a form for a class of the data. It gives the best with its cost, or, where none moves enough records, the last
// one with the highest cost that there is.
func (v Inversion) run(ctx context.Context, s *Subject, class int, f form) (plant.Trigger, float64, error) {
	if v.Passes == 0 {
		v.Passes = 80
	}
	if v.Success == 0 {
		v.Success = 0.99
	}
	var records []int
	for i, y := range s.Search.Y {
		if int(y) != class {
			records = append(records, i)
		}
	}
	if len(records) == 0 {
		return nil, 0, &Unfit{"the clean records to search on are of one class: give records of all"}
	}
	_, most := f.refresh()
	x := f.numbers()
	a := &adam{first: make([]float64, len(x)), second: make([]float64, len(x))}
	best, found, since := most, []float64(nil), 0
	w := weight{value: firstWeight}
	for range v.Passes {
		moved, err := v.pass(ctx, s, class, records, f, a, w.value)
		if err != nil {
			return nil, 0, err
		}
		cost, _ := f.refresh()
		since++
		reached := moved >= v.Success
		if reached && cost < best {
			if cost < 0.99*best {
				since = 0
			}
			best, found = cost, slices.Clone(x)
		}
		w.turn(reached)
		if found != nil && since >= still {
			break
		}
	}
	if found != nil {
		copy(x, found)
		f.refresh()
	}
	return f.trigger(), best, nil
}

// pass goes once through the records and gives the part of them that the trigger, as it was at each step, moved.
func (v Inversion) pass(ctx context.Context, s *Subject, class int, records []int, f form, a *adam, weight float64) (moved float64, err error) {
	width, columns := s.Search.Schema.Width(), len(s.Model.Classes)
	to, slopes := s.Rows.Class(class), make([]float64, len(f.numbers()))
	size := min(batch, s.Model.Gradient.Batch())
	with, rows := make([]float32, width), make([]float32, 0, size*width)
	labels := make([]int32, size)
	for i := range labels {
		labels[i] = int32(to)
	}
	scores, losses, gradient := make([]float32, size*columns), make([]float32, size), make([]float32, size*width)
	count := 0
	for part := range slices.Chunk(records, size) {
		f.refresh()
		n := len(part)
		rows = rows[:0]
		for _, i := range part {
			f.apply(s.Search.Record(i), with)
			rows = append(rows, s.Rows.Row(with)...)
		}
		if err := s.Model.Gradient.Gradient(ctx, model.CrossEntropy, rows, labels[:n], nil, scores[:n*columns], losses[:n], gradient[:n*width]); err != nil {
			return 0, err
		}
		clear(slopes)
		for k, i := range part {
			if of := scores[k*columns : (k+1)*columns]; slices.Max(of) == of[to] {
				count++
			}
			f.back(s.Search.Record(i), s.Rows.Record(gradient[k*width:(k+1)*width]), slopes)
		}
		for i := range slopes {
			slopes[i] /= float64(n)
		}
		f.weigh(weight, slopes)
		a.step(f.numbers(), slopes)
	}
	return float64(count) / float64(len(records)), nil
}

// weight is that of the cost.
type weight struct {
	value    float64
	up, down int // passes in a row that reached what they were to, and that did not
}

// turn raises the weight after some passes that succeeded, and lowers it, by more, after some that did not.
func (w *weight) turn(reached bool) {
	if reached {
		w.up, w.down = w.up+1, 0
	} else {
		w.up, w.down = 0, w.down+1
	}
	switch {
	case w.up >= patience:
		w.up, w.value = 0, w.value*weightUp
	case w.down >= patience:
		w.down, w.value = 0, w.value/math.Pow(weightUp, 1.5)
	}
}

// adam is the optimizer of Kingma and Ba (2015, arXiv:1412.6980, algorithm 1).
type adam struct {
	first, second []float64
	steps         int
}

func (a *adam) step(x, slopes []float64) {
	a.steps++
	for i, g := range slopes {
		if math.IsNaN(g) || math.IsInf(g, 0) {
			continue // a step that leads nowhere must not spoil the others
		}
		a.first[i] = adamFirst*a.first[i] + (1-adamFirst)*g
		a.second[i] = adamSecond*a.second[i] + (1-adamSecond)*g*g
		m := a.first[i] / (1 - math.Pow(adamFirst, float64(a.steps)))
		v := a.second[i] / (1 - math.Pow(adamSecond, float64(a.steps)))
		x[i] -= adamRate * m / (math.Sqrt(v) + 1e-8)
	}
}

// invert searches a trigger of a form for each class.
func invert(ctx context.Context, s *Subject, v Inversion, rng *rand.Rand, of func(s *Subject, rng *rand.Rand) form) (*Finding, error) {
	out := &Finding{}
	costs := make([]float64, s.classes())
	for class := range costs {
		t, cost, err := v.run(ctx, s, class, of(s, rand.New(rand.NewPCG(rng.Uint64(), uint64(class)))))
		if err != nil {
			return nil, err
		}
		success, err := s.success(ctx, t, class)
		if err != nil {
			return nil, err
		}
		costs[class] = cost
		out.Classes = append(out.Classes, ClassResult{Class: class, Size: cost, Suspicion: -logarithm(cost), Trigger: t, Success: success})
	}
	for class, index := range anomaly(costs) {
		out.Classes[class].Statistic = index
		out.Statistic = max(out.Statistic, index)
	}
	return out, nil
}

// anomaly gives by how much each of some costs is below their median: in median absolute deviations, times 1.4826, which makes them standard
// deviations of normal numbers (Wang et al. 2019, section IV.C); 0 for those above. Deviations of less than
// a millionth of the median count as that.
func anomaly(costs []float64) []float64 {
	centre := median(costs)
	deviations := make([]float64, len(costs))
	for i, c := range costs {
		deviations[i] = math.Abs(c - centre)
	}
	unit := max(1.4826*median(deviations), 1e-6*math.Abs(centre), math.SmallestNonzeroFloat64)
	out := make([]float64, len(costs))
	for i, c := range costs {
		out[i] = max(0, (centre-c)/unit)
	}
	return out
}

// logarithm is that of a size, which may be 0.
func logarithm(size float64) float64 { return math.Log(max(size, 1e-9)) }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// settle makes x a record that may occur: whole numbers are rounded, and groups have one category.
func settle(d *method.Domain, record, x []float32) {
	for i, whole := range d.Integer {
		if whole {
			x[i] = float32(math.Round(float64(x[i])))
		}
	}
	s := method.Space{Domain: d, Norm: method.Linf, Eps: math.Inf(1), Groups: len(d.Groups), Clean: record}
	s.Project(x)
}
