// Package sisa trains so that records can be forgotten: sharded, isolated, sliced and aggregated (SISA, Bourtoule et al. 2021,
// arXiv:1912.03817, section IV). Each shard has a model of its own, trained slice by slice with the state after each kept, so that
// only the shard of a forgotten record is trained again, from the slice before it.
//
// Which shard and slice a record is in depends on its content alone. What is trained after records were removed is
// therefore byte by byte what would have been trained without them, and to forget is to train again with the same folder.
package sisa

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"assay/internal/dataset"
	"assay/onnx"
)

// Limits of how records are divided.
const (
	MinShards, MaxShards = 2, 1000
	MaxSlices            = 1000
)

// Options say how to train.
type Options struct {
	Shards, Slices int
	Recipe         string // that names the learner with all that it depends on: what another left in the folder is not gone on from
	Folder         string // for the models of all slices; it holds nothing else
	Progress       func(done, of int)
}

// Learner trains the model of a shard further, after the slice given, both from 0, on the records of that slice and those before
// it. Before is the model after the slice before, nil for the first. It depends on nothing else; there may be no records.
type Learner func(ctx context.Context, shard, slice int, before *onnx.Model, d *dataset.Dataset) (*onnx.Model, error)

// Trained is the models of all shards.
type Trained struct {
	Models   []*onnx.Model
	Replaced []*onnx.Model // of each shard that was there before, of other records; nil where there was none, or it is the same
	Slices   int           // that were trained; all others were in the folder
}

// Partition gives the records of each slice of each shard, as indices, in the order of their content. Equal records are together.
func Partition(d *dataset.Dataset, shards, count int) ([][][]int, error) {
	switch {
	case shards < MinShards || shards > MaxShards:
		return nil, fmt.Errorf("%d shards: give %d to %d", shards, MinShards, MaxShards)
	case count < 1 || count > MaxSlices:
		return nil, fmt.Errorf("%d slices: give 1 to %d", count, MaxSlices)
	case d.Y == nil:
		return nil, errors.New("the records have no labels")
	}
	parts, digests := make([][][]int, shards), make([]dataset.Digest, d.Len())
	for i := range parts {
		parts[i] = make([][]int, count)
	}
	for i := range d.Len() {
		digests[i] = d.Digest(i)
		shard, slice := place(digests[i], shards, count)
		parts[shard][slice] = append(parts[shard][slice], i)
	}
	for _, shard := range parts {
		for _, slice := range shard {
			slices.SortFunc(slice, func(a, b int) int { return bytes.Compare(digests[a][:], digests[b][:]) })
		}
	}
	return parts, nil
}

// place is the shard and slice of a record.
func place(d dataset.Digest, shards, count int) (shard, slice int) {
	return int(binary.LittleEndian.Uint64(d[:8]) % uint64(shards)), int(binary.LittleEndian.Uint64(d[8:16]) % uint64(count))
}

// Train trains the models of all shards, as far as they are not in the folder, and removes from it what is of other records.
// Interrupted, it goes on where it was.
func Train(ctx context.Context, d *dataset.Dataset, o Options, learn Learner) (*Trained, error) {
	parts, err := Partition(d, o.Shards, o.Slices)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Folder, 0o755); err != nil {
		return nil, err
	}
	t := &Trained{Models: make([]*onnx.Model, o.Shards), Replaced: make([]*onnx.Model, o.Shards)}
	kept := map[string]bool{}
	for shard, part := range parts {
		if err := t.shard(ctx, d, o, shard, part, learn, kept); err != nil {
			return nil, fmt.Errorf("shard %d: %w", shard+1, err)
		}
		if o.Progress != nil {
			o.Progress(shard+1, o.Shards)
		}
	}
	return t, clean(o.Folder, kept)
}

// shard trains one shard's model from the last slice on whose state is there.
func (t *Trained) shard(ctx context.Context, d *dataset.Dataset, o Options, shard int, part [][]int, learn Learner, kept map[string]bool) error {
	key := sha256.Sum256(fmt.Appendf(nil, "%d shards, %d slices, shard %d, %s", o.Shards, o.Slices, shard, o.Recipe))
	var files []string
	for slice, records := range part {
		content := key[:]
		for _, i := range records {
			digest := d.Digest(i)
			content = append(content, digest[:]...)
		}
		key = sha256.Sum256(content)
		file := filepath.Join(o.Folder, fmt.Sprintf("%s%x.onnx", stem(shard, slice), key[:16]))
		files, kept[file] = append(files, file), true
	}
	from := len(files)
	for ; from > 0; from-- {
		if _, err := os.Stat(files[from-1]); err == nil {
			break
		}
	}
	m := (*onnx.Model)(nil)
	var err error
	if from > 0 {
		if m, err = onnx.Open(files[from-1]); err != nil {
			return fmt.Errorf("the state %w; remove the file to have it trained again", err)
		}
	}
	if from < len(files) {
		if t.Replaced[shard], err = replaced(o.Folder, stem(shard, o.Slices-1)); err != nil {
			return err
		}
	}
	for slice := from; slice < len(files); slice++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if m, err = learn(ctx, shard, slice, m, d.Select(slices.Concat(part[:slice+1]...))); err != nil {
			return fmt.Errorf("slice %d: %w", slice+1, err)
		}
		if err := m.Save(files[slice]); err != nil {
			return err
		}
		t.Slices++
	}
	t.Models[shard] = m
	return nil
}

func stem(shard, slice int) string { return fmt.Sprintf("shard-%04d-slice-%04d-", shard+1, slice+1) }

// replaced gives the model of a shard that was trained on other records, nil where there is none.
func replaced(folder, stem string) (*onnx.Model, error) {
	files, err := filepath.Glob(filepath.Join(folder, stem+"*.onnx"))
	if err != nil || len(files) == 0 {
		return nil, err
	}
	return onnx.Open(files[0])
}

// clean removes the states that are of other records: they hold what is to be forgotten.
func clean(folder string, kept map[string]bool) error {
	files, err := filepath.Glob(filepath.Join(folder, "shard-[0-9][0-9][0-9][0-9]-slice-[0-9][0-9][0-9][0-9]-*.onnx"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if !kept[f] {
			if err := os.Remove(f); err != nil {
				return fmt.Errorf("a state that still holds removed records stays: %w", err)
			}
		}
	}
	return nil
}
