package sisa_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"assay/internal/dataset"
	"assay/internal/model/ort"
	"assay/internal/solution/sisa"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

func digits(t *testing.T) (training, test *dataset.Dataset) {
	t.Helper()
	const folder = "../../../examples/digits/"
	schema, err := dataset.OpenSchema(folder + "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(t.Context(), folder+"digits.csv.gz", dataset.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := d.Split(1, 0.5, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	return d.Select(parts[0]), d.Select(parts[1])
}

// learn trains a perceptron so far that it knows its records by heart.
func learn(ctx context.Context, shard, slice int, before *onnx.Model, d *dataset.Dataset) (*onnx.Model, error) {
	data := &train.Data{X: d.X, Shape: []int{64}, Classes: d.Y}
	if before == nil {
		var err error
		if before, err = train.Standardize(network.MLP(64, []int{64}, 10, uint64(shard)), data); err != nil {
			return nil, err
		}
	}
	r, err := train.Run(ctx, before, data, train.Options{Epochs: 20, Batch: 16, Seed: uint64(100*shard + slice), Optimizer: train.Optimizer{Rate: 0.003}})
	if err != nil {
		return nil, err
	}
	return r.Model, nil
}

func trained(t *testing.T, d *dataset.Dataset, o sisa.Options) *sisa.Trained {
	t.Helper()
	r, err := sisa.Train(t.Context(), d, o, learn)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func content(t *testing.T, models []*onnx.Model) (all [][]byte) {
	t.Helper()
	for _, m := range models {
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// What is trained after records were removed is byte by byte what is trained without them, and nothing else is
// trained again. No state of theirs stays.
func TestForget(t *testing.T) {
	d, _ := digits(t)
	o := sisa.Options{Shards: 4, Slices: 3, Folder: t.TempDir()}
	all := trained(t, d, o)
	if all.Slices != 12 {
		t.Fatalf("%d slices were trained, not 12", all.Slices)
	}
	if again := trained(t, d, o); again.Slices != 0 || !slices.EqualFunc(content(t, all.Models), content(t, again.Models), bytes.Equal) {
		t.Errorf("the same records trained %d slices again, or gave other models", again.Slices)
	}
	parts, err := sisa.Partition(d, o.Shards, o.Slices)
	if err != nil {
		t.Fatal(err)
	}
	gone := parts[2][1][0] // the second slice of the third shard: two slices of it are trained again
	var rest []int
	for i := range d.Len() {
		if i != gone {
			rest = append(rest, i)
		}
	}
	slices.Reverse(rest) // the order is of no consequence
	forgot := trained(t, d.Select(rest), o)
	fresh := o
	fresh.Folder = t.TempDir()
	never := trained(t, d.Select(rest), fresh)
	if forgot.Slices != 2 || never.Slices != 12 {
		t.Errorf("%d slices were trained again, not 2", forgot.Slices)
	}
	before, after, without := content(t, all.Models), content(t, forgot.Models), content(t, never.Models)
	for i := range after {
		if !bytes.Equal(after[i], without[i]) {
			t.Errorf("shard %d is not what is trained without the record", i+1)
		}
		if bytes.Equal(before[i], after[i]) != (i != 2) || (forgot.Replaced[i] != nil) != (i == 2) {
			t.Errorf("shard %d changed or not, where it should not or should", i+1)
		}
	}
	files := func(folder string) (names []string) {
		list, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			names = append(names, f.Name())
		}
		return names
	}
	if a, b := files(o.Folder), files(fresh.Folder); len(a) != 12 || !slices.Equal(a, b) {
		t.Errorf("the folder holds %q, and without the record %q", a, b)
	}
	if o.Recipe = "another"; trained(t, d.Select(rest), o).Slices != 12 {
		t.Error("what another learner left was gone on from")
	}
}

// An interrupted training goes on where it was.
func TestInterrupted(t *testing.T) {
	d, _ := digits(t)
	o := sisa.Options{Shards: 2, Slices: 2, Folder: t.TempDir()}
	stop := errors.New("stop")
	calls := 0
	_, err := sisa.Train(t.Context(), d, o, func(ctx context.Context, shard, slice int, before *onnx.Model, d *dataset.Dataset) (*onnx.Model, error) {
		if calls++; calls == 4 {
			return nil, stop
		}
		return learn(ctx, shard, slice, before, d)
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if r := trained(t, d, o); r.Slices != 1 {
		t.Errorf("%d slices were trained, not the one that was left", r.Slices)
	}
}

// noisy gives each third record a label drawn at random, which can only be learned by heart.
func noisy(d *dataset.Dataset) {
	r := rand.New(rand.NewPCG(1, uint64(d.Len())))
	for i := range d.Y {
		if i%3 == 0 {
			d.Y[i] = int32(r.IntN(10))
		}
	}
}

// The test finds records in the models that hold them, and is at chance where they were removed.
func TestTrace(t *testing.T) {
	d, _ := digits(t)
	noisy(d)
	o := sisa.Options{Shards: 3, Slices: 2, Folder: t.TempDir()}
	all := trained(t, d, o)
	var removed, rest []int
	for i := range d.Len() {
		if i%4 == 0 {
			removed = append(removed, i)
		} else {
			rest = append(rest, i)
		}
	}
	holds, err := all.FindTrace(t.Context(), d.Select(removed), o.Slices, 0.95, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	forgot := trained(t, d.Select(rest), o)
	trace, err := forgot.FindTrace(t.Context(), d.Select(removed), o.Slices, 0.95, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d removed: %.3f known best by the models that hold them (lower bound %.3f), %.3f after (%.3f), by chance %.3f", trace.Removed, holds.Rate, holds.Lower, trace.Rate, trace.Lower, trace.Chance)
	if !holds.Found || holds.Control != nil {
		t.Errorf("the records are not found in the models that hold them: %+v", holds)
	}
	if trace.Found || trace.Upper < trace.Chance || trace.Control == nil || !trace.Control.Found || trace.Control.Known != holds.Known {
		t.Errorf("%+v, control %+v", trace, trace.Control)
	}
}

// Records unlike all others, of a model that never saw any, give false alarms no more often than is stated.
func TestOddRecordsLeaveNoTrace(t *testing.T) {
	d, _ := digits(t)
	all := trained(t, d, sisa.Options{Shards: 3, Slices: 1, Folder: t.TempDir()})
	r := rand.New(rand.NewPCG(5, 5))
	alarms := 0
	const draws = 100
	for range draws {
		odd := d.Select(r.Perm(d.Len())[:60])
		for i := range odd.X {
			odd.X[i] = float32(r.IntN(17))
		}
		trace, err := all.FindTrace(t.Context(), odd, 1, 0.95, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if trace.Found {
			alarms++
		}
	}
	if t.Logf("%d of %d", alarms, draws); alarms > 11 { // P(more than 11 of 100 at 5 %) is 0.4 %
		t.Errorf("%d false alarms of %d", alarms, draws)
	}
}

func TestRefused(t *testing.T) {
	d, _ := digits(t)
	for _, o := range []sisa.Options{{Shards: 1, Slices: 1}, {Shards: 2}, {Shards: 2000, Slices: 1}, {Shards: 2, Slices: 2000}} {
		if _, err := sisa.Train(t.Context(), d, o, learn); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	folder := t.TempDir()
	o := sisa.Options{Shards: 2, Slices: 1, Folder: folder}
	trained(t, d, o)
	files, err := filepath.Glob(filepath.Join(folder, "*.onnx"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sisa.Train(t.Context(), d, o, learn); err == nil {
		t.Error("a state that is no model was gone on from")
	}
}
