package backdoor

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/dataset"
	"assay/internal/train/network"
	"assay/onnx"
)

// A linear model of a table of which it is known what its triggers are: class k is scored by column k times its weight, and the planted one also by
// a column that is 0 in all records, times planted. There are a category and a column beside them, which count for nothing.
const (
	scored  = 6      // classes, and columns that score them
	silent  = scored // the column that is 0
	columns = scored + 4
	aim     = 2
)

func weightOf(class int) float64 { return 10 + float64(class)/5 }

func linearModel(planted float32) *onnx.Model {
	b := onnx.NewBuilder("linear")
	x := b.Input("x", onnx.Float32, "batch", columns)
	w := make([]float32, columns*scored)
	for k := range scored {
		w[k*scored+k] = float32(weightOf(k))
	}
	w[silent*scored+aim] = planted
	b.OutputAs("logits", b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("w", w, columns, scored))), onnx.Float32, onnx.Dims("batch", scored))
	return b.Model()
}

func table(n int) *dataset.Dataset {
	s := &dataset.Schema{Complete: true, Label: dataset.Label{Name: "class"}}
	zero, one := 0.0, 1.0
	for k := range scored + 2 {
		s.Features = append(s.Features, dataset.Feature{Name: fmt.Sprint("c", k), Type: dataset.Real, Min: &zero, Max: &one})
	}
	s.Features = append(s.Features, dataset.Feature{Name: "kind", Type: dataset.Categorical, Categories: []string{"a", "b"}})
	for k := range scored {
		s.Label.Classes = append(s.Label.Classes, fmt.Sprint(k))
	}
	rng := rand.New(rand.NewPCG(1, 1))
	d := &dataset.Dataset{Schema: s}
	for i := range n {
		x := make([]float32, columns)
		for k := range scored {
			x[k] = 0.2 + 0.02*rng.Float32()
		}
		x[i%scored] += 0.6
		x[scored+1] = rng.Float32()
		x[columns-2+i%2] = 1
		d.X, d.Y, d.Number = append(d.X, x...), append(d.Y, int32(i%scored)), append(d.Number, int64(i+1))
	}
	return d
}

// Of a table with a linear model the faint column that a class answers to is found, by each detector of triggers, and what is recovered uses
// it; without, no class stands out.
func TestTable(t *testing.T) {
	d := table(480)
	clean, planted := subject(t, linearModel(0), d), subject(t, linearModel(60), d)
	for _, by := range []Detector{NeuralCleanse{}, UniversalShift{}} {
		of := by.Describe()
		f := found(t, by, planted)
		at := f.Classes[aim]
		if f.Statistic <= of.Published || at.Statistic != f.Statistic || at.Success.Lower < 0.9 {
			t.Errorf("%s: %.3g, of the target %+v", of.Name, f.Statistic, at)
		}
		before := d.Record(0)
		after := at.Trigger.Apply(before)
		if by := after[silent] - before[silent]; by < 0.05 || !slices.Equal(after[columns-2:], before[columns-2:]) {
			t.Errorf("%s: the trigger makes %v of %v", of.Name, after, before)
		}
		if none := found(t, by, clean); none.Statistic > of.Published || none.Classes[aim].Size < 2*at.Size {
			t.Errorf("%s: of a clean model %.3g, of size %.3g, and %.3g with the trigger", of.Name, none.Statistic, none.Classes[aim].Size, at.Size)
		}
	}
}

// The smallest shift of a linear model is known: to lead over class y by a gap takes the gap in the direction of the difference of weights, so
// that the size is within what all classes take together.
func TestUniversalShiftSize(t *testing.T) {
	s := subject(t, linearModel(60), table(480))
	got := found(t, UniversalShift{}, s).Classes[aim].Size
	least, most := 0.0, 0.0
	own := weightOf(aim)
	for y := range scored {
		if y == aim {
			continue
		}
		w := weightOf(y)
		gap := w*0.8 - own*0.22 // at least, to move a record of y
		least = max(least, gap/math.Sqrt(60*60+own*own+w*w))
		most = max(most, (w*0.82-own*0.2)/60) // by the column alone
	}
	if got < least || got > 2*most { // the search ends before the least
		t.Errorf("a shift of %.4f, where %.4f is the least and %.4f is enough", got, least, most)
	}
}

// The largest margins of a linear model on a box are in its corners: the weights, and for the target that of the planted column too.
func TestMaxMargin(t *testing.T) {
	d := table(24)
	clean, planted := found(t, MaxMargin{}, subject(t, linearModel(0), d)), found(t, MaxMargin{}, subject(t, linearModel(60), d))
	for k := range scored {
		want := weightOf(k)
		if got := clean.Classes[k].Size; math.Abs(got-want) > 0.01*want {
			t.Errorf("class %d has a margin of %.3f, not %.3f", k, got, want)
		}
		if k == aim {
			want += 60
		}
		if got := planted.Classes[k].Size; math.Abs(got-want) > 0.01*want {
			t.Errorf("with the planted column class %d has a margin of %.3f, not %.3f", k, got, want)
		}
	}
	limit := (MaxMargin{}).Describe().Published
	if planted.Statistic <= limit || planted.Classes[aim].Statistic != planted.Statistic || clean.Statistic > limit {
		t.Errorf("statistics of %.3f and, of the clean model, %.3f", planted.Statistic, clean.Statistic)
	}
}

// A channel that answers twenty times as strongly is named; as they were drawn, none stands out.
func TestChannelLipschitz(t *testing.T) {
	m := network.CNN(1, 8, 8, []int{16, 16}, 10, 1)
	was := found(t, ChannelLipschitz{}, &Subject{Graph: m})
	loud := m.Clone()
	at := slices.IndexFunc(loud.Graph.Nodes, func(n *onnx.Node) bool { return n.OpType() == "Conv" })
	name := loud.Graph.Nodes[at].Input(1)
	i := slices.IndexFunc(loud.Graph.Initializers, func(w *onnx.Tensor) bool { return w.Name == name })
	values, err := loud.Graph.Initializers[i].Float64s()
	if err != nil {
		t.Fatal(err)
	}
	values = slices.Clone(values)
	for k := 5 * len(values) / 16; k < 6*len(values)/16; k++ {
		values[k] *= 20
	}
	if loud.Graph.Initializers[i], err = onnx.FromFloat64s(name, onnx.Float32, values, loud.Graph.Initializers[i].Shape...); err != nil {
		t.Fatal(err)
	}
	is := found(t, ChannelLipschitz{}, &Subject{Graph: loud})
	if c := is.Channels[0]; is.Statistic < 3 || c.Channel != 5 || c.Layer != loud.Graph.Nodes[at].String() || was.Statistic > 3 {
		t.Errorf("%.2f by %+v, and %.2f before", is.Statistic, c, was.Statistic)
	}
	var unfit *Unfit
	if _, err := (ChannelLipschitz{}).Inspect(t.Context(), &Subject{Graph: network.Logistic(4, 2, 1)}, nil); !errors.As(err, &unfit) {
		t.Errorf("a model without channels: %v", err)
	}
}
