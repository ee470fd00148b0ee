package inversion_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"assay/internal/method/inversion"
	"assay/internal/model"
)

// memory is a model that is sure of the label of records that it has seen, as they were, and knows nothing of others.
type memory struct {
	seen map[[3]float32]int
}

func (m memory) Describe() model.Description {
	return model.Description{Shape: []int64{3}, Classes: []string{"a", "b"}, Output: model.Probabilities}
}

func (m memory) Predict(_ context.Context, rows, scores []float64) error {
	for i := range len(rows) / 3 {
		x := [3]float32{float32(rows[3*i]), float32(rows[3*i+1]), float32(rows[3*i+2])}
		p := 0.5
		if label, known := m.seen[x]; known {
			p = 0.01 + 0.98*float64(label)
		}
		scores[2*i], scores[2*i+1] = 1-p, p
	}
	return nil
}

func (memory) Close() error { return nil }

// people have two numbers, and as third a secret that nothing else tells of, or that the first number does.
func people(n int, seed uint64, told bool) (r inversion.Records) {
	random := rand.New(rand.NewPCG(seed, 1))
	for range n {
		x := []float32{random.Float32() - 0.5, random.Float32(), float32(random.IntN(2))}
		if told {
			x[2] = 0
			if x[0] > 0 {
				x[2] = 1
			}
		}
		r.Rows, r.Labels = append(r.Rows, x), append(r.Labels, random.IntN(2))
	}
	return r
}

var secretNumber = inversion.Attribute{Start: 2, End: 3, Values: [][]float32{{0}, {1}}}

func inferred(t *testing.T, m model.Classifier, records, prior inversion.Records) map[inversion.Guesser]inversion.Inferred {
	t.Helper()
	a, err := inversion.Attributes(context.Background(), inversion.Victim{Model: m}, secretNumber, records, prior, 0.95, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", a)
	out := map[inversion.Guesser]inversion.Inferred{}
	for _, x := range a.Attacks {
		out[x.Attack] = x
	}
	if len(out) != len(inversion.Attacks()) || a.Records != len(records.Rows) {
		t.Fatalf("%+v", a)
	}
	return out
}

// What a model has learnt by heart is inferred from it, and no more than is known otherwise from one that does not look at
// the attribute, whether the other features tell it or nothing does.
func TestAttributes(t *testing.T) {
	records, prior := people(300, 1, false), people(600, 2, false)
	m := memory{seen: map[[3]float32]int{}}
	for i, x := range records.Rows {
		m.seen[[3]float32(x)] = records.Labels[i]
	}
	for attack, x := range inferred(t, m, records, prior) {
		if x.Correct < 0.99 || x.Gain.Lower < 0.3 {
			t.Errorf("learnt by heart: %s: %+v", attack, x)
		}
	}
	for attack, x := range inferred(t, memory{}, records, prior) {
		if x.Gain.Lower > 0 {
			t.Errorf("of a model that knows nothing: %s: %+v", attack, x)
		}
	}
	told := inferred(t, memory{}, people(300, 1, true), people(600, 2, true))
	if x := told[inversion.Weighted]; x.Correct < 0.95 || x.Gain.Part != 0 {
		t.Errorf("what the first number tells counts: %+v", x)
	}
	if x := told[inversion.Fredrikson]; x.Gain.Upper > 0 {
		t.Errorf("a share says more than the first number: %+v", x)
	}
}

func TestAttributeRefusals(t *testing.T) {
	ctx, records := context.Background(), people(10, 1, false)
	v := inversion.Victim{Model: memory{}}
	if _, err := inversion.Attributes(ctx, v, inversion.Attribute{Start: 2, End: 3, Values: [][]float32{{0}}}, records, records, 0.95, 1); err == nil {
		t.Error("an attribute of one value was inferred")
	}
	if _, err := inversion.Attributes(ctx, v, secretNumber, records, inversion.Records{}, 0.95, 1); err == nil {
		t.Error("there was no prior, and no error")
	}
	if _, err := inversion.Attributes(ctx, v, inversion.Attribute{Start: 2, End: 3, Values: [][]float32{{7}, {8}}}, records, records, 0.95, 1); err == nil {
		t.Error("no record had a value, and there was no error")
	}
}
