package dpa_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/dataset"
	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/internal/solution/dpa"
	"assay/onnx"
)

func spread(t *testing.T, k, d int, seed uint64) *dpa.Spread {
	t.Helper()
	s, err := dpa.NewSpread(k, d, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// voters gives all ballots of so many voters on three classes.
func voters(n int) (all [][]int) {
	total := 1
	for range n {
		total *= 3
	}
	for code := range total {
		one := make([]int, n)
		for i := range one {
			one[i], code = code%3, code/3
		}
		all = append(all, one)
	}
	return all
}

func tally(ballots []int) []int {
	votes := make([]int, 3)
	for _, v := range ballots {
		votes[v]++
	}
	return votes
}

func TestASpreadOfOneIsDeepPartitionAggregation(t *testing.T) {
	s := spread(t, 5, 1, 1)
	for _, ballots := range voters(5) {
		class, budget := s.Robustness(ballots, 3)
		if c, b := dpa.Robustness(tally(ballots)); class != c || budget != b {
			t.Errorf("%v: %d up to %d, and %d up to %d by the vote alone", ballots, class, budget, c, b)
		}
	}
	d := table(100, 1)
	a, err := s.Parts(d)
	b, failed := dpa.Partition(d, 5)
	if err != nil || failed != nil || !slices.EqualFunc(a, b, slices.Equal) {
		t.Error(err, failed)
	}
}

// TestSpreadAgainstAllBallots lets whoever poisons splits choose what all models of these vote for, in every way, for
// all ballots: no more is certified than holds, and at least half of what holds.
func TestSpreadAgainstAllBallots(t *testing.T) {
	for seed := range uint64(3) {
		s := spread(t, 3, 2, seed)
		members := membersOf(t, s)
		all := voters(6)
		certified, holding := 0, 0
		for _, before := range all {
			class, budget := s.Robustness(before, 3)
			smallest := 7 // number of splits that change the answer
			for set := range 64 {
				n, free := 0, [6]bool{}
				for i := range 6 {
					if set>>i&1 == 1 {
						n++
						for _, j := range members[i] {
							free[j] = true
						}
					}
				}
				if n >= smallest {
					continue
				}
				for _, after := range all {
					reachable := true
					for j := range after {
						reachable = reachable && (free[j] || after[j] == before[j])
					}
					if reachable && winner(tally(after)) != class {
						smallest = min(smallest, n)
					}
				}
			}
			if class != winner(tally(before)) || budget > smallest-1 {
				t.Errorf("seed %d, ballots %v: certified against %d, and %d splits change the answer", seed, before, budget, smallest)
			}
			certified, holding = certified+budget, holding+smallest-1
		}
		t.Logf("seed %d: %d certified of %d that hold, over all ballots", seed, certified, holding)
		if certified == 0 || 2*certified < holding {
			t.Errorf("seed %d: %d certified of %d that hold", seed, certified, holding)
		}
	}
}

// membersOf finds by single records which models a split is in, for each split.
func membersOf(t *testing.T, s *dpa.Spread) [][]int {
	t.Helper()
	d := table(50, 9)
	splits, err := dpa.Partition(d, s.Members())
	if err != nil {
		t.Fatal(err)
	}
	parts, err := s.Parts(d)
	if err != nil {
		t.Fatal(err)
	}
	out := make([][]int, len(splits))
	for i, split := range splits {
		if len(split) == 0 {
			t.Fatalf("the split %d has no records", i)
		}
		for j, part := range parts {
			if slices.Contains(part, split[0]) {
				out[i] = append(out[i], j)
			}
		}
	}
	return out
}

// TestSpreadAgainstAllPoison goes through everything that can be done with one record and with two: added from a pool in which every
// split has records of every class, removed, or given another label. The models learn their most frequent class.
func TestSpreadAgainstAllPoison(t *testing.T) {
	s := spread(t, 4, 2, 1)
	vote := func(d *dataset.Dataset) []int {
		parts, err := s.Parts(d)
		if err != nil {
			t.Fatal(err)
		}
		ballots := make([]int, len(parts))
		for j, part := range parts {
			count := make([]int, 3)
			for _, at := range part {
				count[d.Y[at]]++
			}
			ballots[j] = winner(count)
		}
		return ballots
	}
	pool := table(24, 77)
	budgets := map[int]int{}
	changed := 0
	for seed := range uint64(12) {
		d := table(9, seed)
		for i := range d.Y {
			if i%8 != 0 {
				d.Y[i] = 1
			}
		}
		class, budget := s.Robustness(vote(d), 3)
		budgets[budget]++
		now := winner(tally(vote(d)))
		if now != class {
			t.Fatalf("%d wins, and %d is certified", now, class)
		}
		level := []*dataset.Dataset{d}
		for n := 1; n <= 2; n++ {
			var next []*dataset.Dataset
			for _, from := range level {
				next = append(next, poisonings(from, pool)...)
			}
			for _, p := range next {
				if winner(tally(vote(p))) != class {
					changed++
					if n <= budget {
						t.Fatalf("seed %d: %d poisoned records change the answer, and %d are certified", seed, n, budget)
					}
				}
			}
			level = next
		}
	}
	t.Logf("budgets %v; %d ways of poisoning changed an answer", budgets, changed)
	if budgets[1]+budgets[2]+budgets[3] == 0 || changed == 0 {
		t.Errorf("nothing was certified (%v), or nothing changed (%d)", budgets, changed)
	}
}

// poisonings are all data that differ by one record.
func poisonings(d, pool *dataset.Dataset) (out []*dataset.Dataset) {
	all := make([]int, d.Len())
	for i := range all {
		all[i] = i
	}
	for i := range all {
		out = append(out, d.Select(slices.Delete(slices.Clone(all), i, i+1)))
		for y := range int32(3) {
			if y != d.Y[i] {
				one := d.Select(all)
				one.Y[i] = y
				out = append(out, one)
			}
		}
	}
	for i := range pool.Len() {
		for y := range int32(3) {
			one := d.Select(all)
			one.X, one.Y, one.Number = append(one.X, pool.Record(i)...), append(one.Y, y), append(one.Number, int64(len(all)+1))
			out = append(out, one)
		}
	}
	return out
}

// TestSpreadCertifiesMergedModels trains, merges and certifies: what the members alone vote is what the merged model counts.
func TestSpreadCertifiesMergedModels(t *testing.T) {
	const k, spreadOver = 5, 2
	s := spread(t, k, spreadOver, 3)
	d := table(20, 3)
	for i := range d.Len() {
		if i%4 != 0 {
			d.Y[i] = 1
		}
	}
	parts, err := s.Parts(d)
	if err != nil {
		t.Fatal(err)
	}
	var members []model.Classifier
	models, err := dpa.TrainParts(context.Background(), d, parts, func(ctx context.Context, i int, d *dataset.Dataset) (*onnx.Model, error) {
		m, err := constant(ctx, i, d)
		if err != nil {
			return nil, err
		}
		c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{})
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { c.Close() })
		members = append(members, c)
		return m, nil
	}, nil)
	if err != nil || len(models) != k*spreadOver {
		t.Fatal(err, len(models))
	}
	whole := joined(t, models)
	rows := []float64{0, 0, rand.New(rand.NewPCG(1, 1)).Float64(), 1}
	all, err := s.Certify(context.Background(), whole, members, rows, []int{1, 0})
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Class != 1 || !all[0].Correct || all[1].Correct || all[0].Budget < 1 || all[0].Budget != all[1].Budget || all[0].Method != dpa.SpreadMethod {
		t.Errorf("%+v", all)
	}
	// Members that vote otherwise than in the merged model certify nothing.
	i := slices.IndexFunc(models[1:], func(m *onnx.Model) bool { return !sameVote(t, m, models[0]) })
	if i < 0 {
		t.Fatal("all members vote alike")
	}
	wrong := slices.Clone(members)
	wrong[0] = members[i+1]
	if all, err = s.Certify(context.Background(), whole, wrong, rows, []int{1, 0}); err != nil || all[0].Budget != -1 {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := s.Certify(context.Background(), whole, members[1:], rows, []int{1, 0}); err == nil {
		t.Error("a member too few is no error")
	}
}

func sameVote(t *testing.T, a, b *onnx.Model) bool {
	t.Helper()
	vote := func(m *onnx.Model) int {
		c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		scores := make([]float64, 3)
		if err := c.Predict(context.Background(), []float64{0, 0}, scores); err != nil {
			t.Fatal(err)
		}
		return slices.Index(scores, slices.Max(scores))
	}
	return vote(a) == vote(b)
}

func TestSpreadRefused(t *testing.T) {
	for _, c := range [][2]int{{1, 2}, {2, 0}, {1000, 3}, {2, 1 << 40}, {-5, -5}} {
		if _, err := dpa.NewSpread(c[0], c[1], 1); err == nil {
			t.Errorf("%v is no error", c)
		}
	}
}
