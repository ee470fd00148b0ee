package train

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"assay/internal/train/network"
)

// FuzzCheckpoint reads files that are whole as far as their digest tells.
func FuzzCheckpoint(f *testing.F) {
	d := &Data{X: []float32{1, 2, 3, 4}, Shape: []int{1}, Classes: []int32{0, 1, 0, 1}}
	o := &Options{Validation: d, Patience: 1, Checkpoint: f.TempDir()}
	if err := o.complete(d); err != nil {
		f.Fatal(err)
	}
	t, err := newTraining(network.Logistic(1, 2, 1), d, o)
	if err != nil {
		f.Fatal(err)
	}
	defer t.close()
	if err := t.runEpoch(f.Context()); err != nil {
		f.Fatal(err)
	}
	if err := t.save(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(o.Checkpoint, checkpointFile))
	if err != nil {
		f.Fatal(err)
	}
	good = good[:len(good)-sha256.Size]
	f.Add(good)
	f.Add(bytes.Replace(good, []byte(`"validation":`), []byte(`"valuation":`), 1))
	f.Add(bytes.Replace(good, []byte(`"best":0`), []byte(`"best":1`), 1))
	f.Add(bytes.Replace(good, []byte(`"numbers":[4`), []byte(`"numbers":[-4`), 1))
	f.Fuzz(func(test *testing.T, content []byte) {
		digest := sha256.Sum256(content)
		if err := t.read(bytes.NewReader(append(content, digest[:]...))); err != nil {
			return
		}
		if t.epoch < 0 || t.epoch > t.Epochs || t.bestEpoch >= max(t.epoch, 1) {
			test.Errorf("resumed at epoch %d with the best %d", t.epoch, t.bestEpoch)
		}
	})
}
