// Package shadow trains shadow models: models like one under attack, on halves of a population of records, so that
// of each record and each shadow it is known whether the one was trained on the other (Shokri et al. 2017, arXiv:1610.05820).
//
// Shadows come in pairs. One is trained on half of the records, drawn by the seed and the pair's number, the other on the
// rest: so each record is in exactly half of the shadows (as in Carlini et al. 2022, arXiv:2112.03570, section V-B), and
// more shadows under the same seed begin with those there were. Each is trained on one thread and several at once, and
// kept in a folder as it ends, under the digest of all that decides it. Whatever ends a run early, the next goes on from there.
package shadow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"assay/onnx"
)

// Trainer trains models on parts of a population of records. It is safe for concurrent use, and the same
// members and seed give the same model.
type Trainer interface {
	// Len is the number of records in the population.
	Len() int
	// Key identifies a training by all that decides its result, as a file's name can: data, members, settings and seed.
	Key(members []int, seed uint64) (string, error)
	// Train trains a model on the records whose numbers are given, from 0, on one thread.
	Train(ctx context.Context, members []int, seed uint64) (*onnx.Model, error)
}

// Options say how shadows are made.
type Options struct {
	Count    int    // shadows, an even number from 2
	Seed     uint64 // of their members and trainings
	Folder   string // that keeps them; empty for none
	Parallel int    // trainings at once; 0 for as many as Go uses processors
	Progress func(done, total int)
}

// Shadow is one shadow model.
type Shadow struct {
	Model   *onnx.Model
	Members []int // the records that it was trained on, ascending
	Kept    bool  // taken from the folder
}

// In tells of each of n records whether the shadow was trained on it.
func (s *Shadow) In(n int) []bool {
	in := make([]bool, n)
	for _, i := range s.Members {
		in[i] = true
	}
	return in
}

// maxCount bounds what a run can be asked for.
const maxCount = 1 << 16

// Run gives the shadows, in order: those that the folder keeps, and the others trained.
func Run(ctx context.Context, t Trainer, o Options) ([]Shadow, error) {
	switch {
	case o.Count < 2 || o.Count%2 != 0 || o.Count > maxCount:
		return nil, fmt.Errorf("%d shadow models: they come in pairs, so give an even number from 2", o.Count)
	case o.Parallel < 0:
		return nil, fmt.Errorf("%d trainings at once: give 1 or more, or 0 for all processors", o.Parallel)
	case t.Len() < 2:
		return nil, fmt.Errorf("%d records cannot be halved: give more data", t.Len())
	}
	shadows := make([]Shadow, o.Count)
	var mutex sync.Mutex
	done := 0
	err := Each(ctx, o.Count, o.Parallel, func(ctx context.Context, k int) error {
		s, err := one(ctx, t, k, &o)
		if err != nil {
			return fmt.Errorf("shadow model %d: %w", k+1, err)
		}
		mutex.Lock()
		defer mutex.Unlock()
		shadows[k] = *s
		if done++; o.Progress != nil {
			o.Progress(done, o.Count)
		}
		return nil
	})
	return shadows, err
}

// one gives the shadow k.
func one(ctx context.Context, t Trainer, k int, o *Options) (*Shadow, error) {
	s := &Shadow{Members: Members(t.Len(), k, o.Seed)}
	m, kept, err := Train(ctx, t, s.Members, o.Seed+uint64(k), o.Folder)
	s.Model, s.Kept = m, kept
	return s, err
}

// keyEntry is where a model that is kept says which training gave it.
const keyEntry = "assay.training"

// Train gives the model of one training, from the folder where that keeps it. An empty folder keeps nothing.
func Train(ctx context.Context, t Trainer, members []int, seed uint64, folder string) (m *onnx.Model, kept bool, err error) {
	if folder == "" {
		m, err = t.Train(ctx, members, seed)
		return m, false, err
	}
	key, err := t.Key(members, seed)
	if err != nil {
		return nil, false, err
	}
	path := filepath.Join(folder, key+".onnx")
	switch m, err = onnx.Open(path); {
	case err == nil && m.Metadata[keyEntry] == key:
		return m, true, nil
	case err == nil:
		return nil, false, fmt.Errorf("%s is not of the training that it is named after: remove it", path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, fmt.Errorf("%w; remove the file to have it trained again", err)
	}
	if m, err = t.Train(ctx, members, seed); err != nil {
		return nil, false, err
	}
	if m.Metadata == nil {
		m.Metadata = map[string]string{}
	}
	m.Metadata[keyEntry] = key
	return m, false, m.Save(path)
}

// Members gives the records of n that the shadow k is trained on, ascending: half of them, and of the two of a pair
// each has those that the other has not.
func Members(n, k int, seed uint64) []int {
	order := rand.New(rand.NewPCG(seed, uint64(k/2))).Perm(n)
	members := order[:n/2]
	if k%2 == 1 {
		members = order[n/2:]
	}
	slices.Sort(members)
	return members
}

// Each calls a function for 0 to n-1, several at once; 0 is as many as Go uses processors. The first error ends the
// others' context, and is given.
func Each(ctx context.Context, n, parallel int, do func(ctx context.Context, k int) error) error {
	if parallel == 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(parallel, n) {
		workers.Go(func() {
			for k := range next {
				if err := do(ctx, k); err != nil {
					stop(err)
				}
			}
		})
	}
	for k := 0; k < n && ctx.Err() == nil; k++ {
		select {
		case next <- k:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}
