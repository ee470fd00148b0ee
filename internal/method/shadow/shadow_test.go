package shadow_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"assay/internal/method/shadow"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// blobs are records of two classes.
func blobs(n int) *train.Data {
	rng := rand.New(rand.NewPCG(1, 2))
	d := &train.Data{Shape: []int{3}}
	for i := range n {
		y := int32(i % 2)
		for range 3 {
			d.X = append(d.X, float32(rng.NormFloat64())+float32(y))
		}
		d.Classes = append(d.Classes, y)
	}
	return d
}

func builtin(n int) *shadow.Builtin {
	return &shadow.Builtin{Data: blobs(n), Options: train.Options{Epochs: 2},
		Network: func(seed uint64, d *train.Data) (*onnx.Model, error) {
			return network.MLP(3, []int{4}, 2, seed), nil
		}}
}

// Each record is in exactly half of the shadows, and more shadows begin with the fewer.
func TestMembers(t *testing.T) {
	for _, n := range []int{2, 7, 100} {
		count := make([]int, n)
		for k := range 10 {
			members := shadow.Members(n, k, 3)
			if !slices.IsSorted(members) || len(members) < n/2 || len(members) > (n+1)/2 {
				t.Errorf("of %d records shadow %d has %v", n, k, members)
			}
			for _, i := range members {
				count[i]++
			}
		}
		for i, c := range count {
			if c != 5 {
				t.Errorf("of %d, record %d is in %d of 10 shadows", n, i, c)
			}
		}
	}
	if slices.Equal(shadow.Members(100, 0, 1), shadow.Members(100, 0, 2)) || slices.Equal(shadow.Members(100, 0, 1), shadow.Members(100, 2, 1)) {
		t.Error("seeds or pairs have the same members")
	}
}

// counting is a trainer that counts what it trains, and fails at a training.
type counting struct {
	*shadow.Builtin
	trained atomic.Int32
	fail    int32
}

var errHalt = errors.New("the power is out")

func (c *counting) Train(ctx context.Context, members []int, seed uint64) (*onnx.Model, error) {
	if c.trained.Add(1) == c.fail {
		return nil, errHalt
	}
	return c.Builtin.Train(ctx, members, seed)
}

// What an interrupted run has trained is not trained again; the models are the same bytes as without an interruption and
// on any number of workers; and a file that is not what it says is told.
func TestResume(t *testing.T) {
	ctx, folder := context.Background(), t.TempDir()
	broken := &counting{Builtin: builtin(40), fail: 4}
	if _, err := shadow.Run(ctx, broken, shadow.Options{Count: 6, Folder: folder, Parallel: 1}); !errors.Is(err, errHalt) {
		t.Fatal(err)
	}
	rest := &counting{Builtin: builtin(40)}
	resumed, err := shadow.Run(ctx, rest, shadow.Options{Count: 6, Folder: folder, Parallel: 3})
	if err != nil || rest.trained.Load() != 3 {
		t.Fatalf("%d were trained where 3 were left (%v)", rest.trained.Load(), err)
	}
	fresh, err := shadow.Run(ctx, builtin(40), shadow.Options{Count: 6, Parallel: 2})
	if err != nil {
		t.Fatal(err)
	}
	for k := range fresh {
		delete(resumed[k].Model.Metadata, "assay.training")
		a, err := resumed[k].Model.Encode()
		if err != nil {
			t.Fatal(err)
		}
		b, err := fresh[k].Model.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) || resumed[k].Kept != (k < 3) {
			t.Errorf("shadow %d: kept %v, and its bytes are the same: %v", k, resumed[k].Kept, bytes.Equal(a, b))
		}
	}
	other := builtin(40)
	other.Data.X[0]++
	again := &counting{Builtin: other}
	if _, err := shadow.Run(ctx, again, shadow.Options{Count: 2, Folder: folder}); err != nil || again.trained.Load() != 1 {
		t.Errorf("a record that changed has %d of 2 shadows trained anew (%v)", again.trained.Load(), err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) != 7 {
		t.Fatalf("%v (%v)", files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("half a mod"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := shadow.Run(ctx, builtin(40), shadow.Options{Count: 2, Folder: folder}); err == nil {
		t.Error("a broken file was taken")
	}
}

func TestRefuses(t *testing.T) {
	for _, o := range []shadow.Options{{}, {Count: 3}, {Count: -2}, {Count: 2, Parallel: -1}} {
		if _, err := shadow.Run(context.Background(), builtin(10), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	ended, stop := context.WithCancel(context.Background())
	stop()
	if _, err := shadow.Run(ended, builtin(10), shadow.Options{Count: 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gives %v", err)
	}
}

// Private trainings have noise of their own: with the same weights and members, two seeds come to different models by it alone.
func TestNoiseIsEachTrainingsOwn(t *testing.T) {
	b := builtin(20)
	b.Network = func(_ uint64, d *train.Data) (*onnx.Model, error) { return network.MLP(3, []int{4}, 2, 1), nil }
	b.Options.Batch, b.Options.Epochs = 20, 1
	b.Options.Private = &train.Private{Clip: 1e-6, NoiseMultiplier: 1e6} // what is left is noise
	members := shadow.Members(20, 0, 1)
	var models [][]byte
	for _, seed := range []uint64{1, 2, 1} {
		m, err := b.Train(t.Context(), members, seed)
		if err != nil {
			t.Fatal(err)
		}
		text, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, text)
	}
	if bytes.Equal(models[0], models[1]) || !bytes.Equal(models[0], models[2]) {
		t.Error("the noise is not the seed's")
	}
}
