package dpa_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"assay/internal/certificate"
	"assay/internal/dataset"
	"assay/internal/model/ort"
	"assay/internal/solution/dpa"
	"assay/internal/solution/rewrite"
	"assay/internal/solution/solutiontest"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

func winner(votes []int) int { return slices.Index(votes, slices.Max(votes)) }

// TestRobustnessIsExact goes through all votes of five on three classes, and all that any of the five may do.
func TestRobustnessIsExact(t *testing.T) {
	const voters, classes = 5, 3
	var all [][]int
	for code := range 243 {
		one := make([]int, voters)
		for i := range one {
			one[i], code = code%classes, code/classes
		}
		all = append(all, one)
	}
	count := func(ballots []int) []int {
		votes := make([]int, classes)
		for _, v := range ballots {
			votes[v]++
		}
		return votes
	}
	for _, before := range all {
		class, budget := dpa.Robustness(count(before))
		smallest := voters + 1 // number of changes that change the answer
		for _, after := range all {
			changes := 0
			for i := range after {
				if after[i] != before[i] {
					changes++
				}
			}
			if winner(count(after)) != class {
				smallest = min(smallest, changes)
			}
		}
		if budget != smallest-1 {
			t.Errorf("votes %v: certified against %d, and %d changes are needed", count(before), budget, smallest)
		}
	}
}

// table gives random records of two numbers, each class about a place of its own.
func table(n int, seed uint64) *dataset.Dataset {
	r := rand.New(rand.NewPCG(seed, 1))
	d := &dataset.Dataset{Schema: &dataset.Schema{
		Features: []dataset.Feature{{Name: "a", Type: dataset.Real}, {Name: "b", Type: dataset.Real}},
		Label:    dataset.Label{Name: "class", Classes: []string{"0", "1", "2"}}, Complete: true,
	}}
	for i := range n {
		y := int32(r.IntN(3))
		d.X = append(d.X, float32(4*float64(y)+r.NormFloat64()), float32(r.NormFloat64()))
		d.Y, d.Number = append(d.Y, y), append(d.Number, int64(i+1))
	}
	return d
}

// contents are the parts' records as bytes would tell them apart.
func contents(t *testing.T, d *dataset.Dataset, k int) [][]dataset.Digest {
	t.Helper()
	parts, err := dpa.Partition(d, k)
	if err != nil {
		t.Fatal(err)
	}
	all := make([][]dataset.Digest, k)
	for i, part := range parts {
		for _, at := range part {
			all[i] = append(all[i], d.Digest(at))
		}
	}
	return all
}

func differing(a, b [][]dataset.Digest) int {
	n := 0
	for i := range a {
		if !slices.Equal(a[i], b[i]) {
			n++
		}
	}
	return n
}

// TestOneRecordIsInOnePart changes one record in each way there is, and the order of all.
func TestOneRecordIsInOnePart(t *testing.T) {
	const k = 10
	d := table(200, 1)
	before := contents(t, d, k)
	total := 0
	for _, part := range before {
		total += len(part)
	}
	if total != d.Len() {
		t.Fatalf("the parts have %d records of %d", total, d.Len())
	}
	order := rand.New(rand.NewPCG(2, 2)).Perm(d.Len())
	if n := differing(before, contents(t, d.Select(order), k)); n != 0 {
		t.Errorf("another order changes %d parts", n)
	}
	for i := range d.Len() {
		rest := slices.Delete(slices.Clone(order), i, i+1)
		if n := differing(before, contents(t, d.Select(rest), k)); n != 1 {
			t.Errorf("a record less changes %d parts", n)
		}
		if n := differing(before, contents(t, d.Select(append([]int{i}, order...)), k)); n != 1 {
			t.Errorf("a record twice changes %d parts", n)
		}
		flipped := d.Select(order)
		flipped.Y = slices.Clone(flipped.Y)
		flipped.Y[i] = (flipped.Y[i] + 1) % 3
		if n := differing(before, contents(t, flipped, k)); n != 1 {
			t.Errorf("another label changes %d parts", n)
		}
	}
}

// constant learns the most frequent class of its part.
func constant(_ context.Context, _ int, d *dataset.Dataset) (*onnx.Model, error) {
	logits := make([]float32, 3)
	for _, y := range d.Y {
		logits[y]++
	}
	b := onnx.NewBuilder("constant")
	x := b.Input("x", onnx.Float32, "batch", 2)
	zero := b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("w", make([]float32, 6), 2, 3)))
	b.OutputAs("scores", b.Op("Add", nil, zero, b.Weight(onnx.NewTensor("b", logits, 1, 3))), onnx.Float32, onnx.Dims("batch", 3))
	return b.Model(), nil
}

// merged trains, merges and opens.
func merged(t *testing.T, d *dataset.Dataset, k int, learn dpa.Learner) *ort.Classifier {
	t.Helper()
	models, err := dpa.Train(context.Background(), d, k, learn, nil)
	if err != nil {
		t.Fatal(err)
	}
	return joined(t, models)
}

// joined merges and opens.
func joined(t *testing.T, models []*onnx.Model) *ort.Classifier {
	t.Helper()
	members := make([]*rewrite.Classifier, len(models))
	for i, m := range models {
		members[i] = solutiontest.Classifier(t, m)
	}
	m := solutiontest.Sound(t, func() *onnx.Model {
		m, err := dpa.Merge(members)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}, false, 0)
	c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func certify(t *testing.T, c *ort.Classifier, x []float32, labels []int) []certificate.Certificate {
	t.Helper()
	rows := make([]float64, len(x))
	for i, v := range x {
		rows[i] = float64(v)
	}
	all, err := dpa.Certify(context.Background(), c, rows, labels)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCertificatesHold poisons as many records as are certified, in the worst way for models of the most frequent
// class: nothing changes. With more of the same kind it does, so that the test could have found a change.
func TestCertificatesHold(t *testing.T) {
	const k = 9
	d := table(40, 3)
	for i := range d.Len() { // so that most parts agree
		if i%4 != 0 {
			d.Y[i] = 1
		}
	}
	row := []float32{0, 0}
	c := certify(t, merged(t, d, k, constant), row, []int{0})[0]
	if c.Budget < 1 {
		t.Fatalf("nothing is certified: %+v", c)
	}
	poisoned := func(n int) *dataset.Dataset {
		parts, err := dpa.Partition(d, k)
		if err != nil {
			t.Fatal(err)
		}
		out := d.Select(rand.New(rand.NewPCG(4, 4)).Perm(d.Len()))
		out.X, out.Y, out.Number = slices.Clone(out.X), slices.Clone(out.Y), slices.Clone(out.Number)
		other := int32((c.Class + 1) % 3)
		for _, part := range parts { // as few in each as turn its vote
			votes := make([]int, 3)
			for _, at := range part {
				votes[d.Y[at]]++
			}
			for need := votes[c.Class] + 1 - votes[other]; winner(votes) == c.Class && need > 0 && n > 0; need, n = need-1, n-1 {
				record := d.Record(part[0])
				out.X, out.Y, out.Number = append(out.X, record...), append(out.Y, other), append(out.Number, int64(out.Len()+1))
			}
		}
		return out
	}
	if now := certify(t, merged(t, poisoned(c.Budget), k, constant), row, []int{0})[0]; now.Class != c.Class {
		t.Errorf("%d records, which are certified, change the answer from %d to %d", c.Budget, c.Class, now.Class)
	}
	if now := certify(t, merged(t, poisoned(40), k, constant), row, []int{0})[0]; now.Class == c.Class {
		t.Error("40 records, which are not certified, change nothing")
	}
}

// TestNetworks trains small networks: those of parts that a record is not in stay the same, byte by byte, and the
// vote of all is right on most others and certified.
func TestNetworks(t *testing.T) {
	const k = 7
	learn := func(ctx context.Context, i int, part *dataset.Dataset) (*onnx.Model, error) {
		data := train.FromDataset(part)
		m, err := train.Standardize(network.MLP(2, nil, 3, uint64(i)), data)
		if err != nil {
			return nil, err
		}
		r, err := train.Run(ctx, m, data, train.Options{Epochs: 20, Batch: 16, Seed: uint64(i), Optimizer: train.Optimizer{Method: train.AdamW, Rate: 0.05}})
		if err != nil {
			return nil, err
		}
		return r.Model, nil
	}
	d, test := table(280, 5), table(100, 6)
	encoded := func(d *dataset.Dataset) (all [][]byte) {
		models, err := dpa.Train(context.Background(), d, k, learn, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range models {
			text, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
		return all
	}
	before, after := encoded(d), encoded(d.Select(rand.New(rand.NewPCG(7, 7)).Perm(279)))
	changed := 0
	for i := range before {
		if !bytes.Equal(before[i], after[i]) {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("a record less, and another order, changed %d of %d networks", changed, k)
	}
	labels := make([]int, test.Len())
	for i, y := range test.Y {
		labels[i] = int(y)
	}
	points, err := certificate.AccuracyByBudget(certify(t, merged(t, d, k, learn), test.X, labels), []int{0, 2, 4}, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("certified accuracy at 0, 2 and 4 records: %.2f, %.2f, %.2f", points[0].Accuracy, points[1].Accuracy, points[2].Accuracy)
	if points[0].Accuracy < 0.9 || points[1].Accuracy < 0.7 || points[2].Accuracy != 0 { // 7 votes certify at most 3
		t.Errorf("%+v", points)
	}
}

func TestRefused(t *testing.T) {
	d := table(5, 1)
	for _, k := range []int{1, -1, 5000} {
		if _, err := dpa.Partition(d, k); err == nil || !strings.Contains(err.Error(), "give 2 to 2000") {
			t.Errorf("%d parts: %v", k, err)
		}
	}
	d.Y = nil
	if _, err := dpa.Partition(d, 2); err == nil {
		t.Error("records without labels were taken")
	}
	digits := solutiontest.Open(t)
	if _, err := dpa.Merge([]*rewrite.Classifier{digits.Classifier}); err == nil {
		t.Error("one model votes")
	}
	if _, err := dpa.Merge([]*rewrite.Classifier{digits.Classifier, solutiontest.Plane(t)}); err == nil || !strings.Contains(err.Error(), "model 2") {
		t.Error(err)
	}
	c, err := ort.NewClassifier(context.Background(), digits.Model, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := dpa.Certify(context.Background(), c, make([]float64, 64), []int{0}); err == nil || !strings.Contains(err.Error(), "counts no votes") {
		t.Error(err)
	}
}
