package shadow

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"assay/internal/train"
	"assay/onnx"
)

// Builtin is the trainer that Assay has itself.
type Builtin struct {
	Data *train.Data // the population
	// Network makes an untrained model for the records that it is to be trained on.
	Network func(seed uint64, d *train.Data) (*onnx.Model, error)
	Options train.Options // of which Seed, Threads, Checkpoint and the key of Private are each training's own
}

// Len is the number of records.
func (b *Builtin) Len() int { return b.Data.Len() }

// Key is the training's fingerprint.
func (b *Builtin) Key(members []int, seed uint64) (string, error) {
	m, d, o, err := b.prepare(members, seed)
	if err != nil {
		return "", err
	}
	return train.Fingerprint(m, d, o)
}

// Train trains a model on one thread.
func (b *Builtin) Train(ctx context.Context, members []int, seed uint64) (*onnx.Model, error) {
	m, d, o, err := b.prepare(members, seed)
	if err != nil {
		return nil, err
	}
	r, err := train.Run(ctx, m, d, o)
	if err != nil {
		return nil, err
	}
	return r.Model, nil
}

func (b *Builtin) prepare(members []int, seed uint64) (*onnx.Model, *train.Data, train.Options, error) {
	d := Take(b.Data, members)
	o := b.Options
	o.Seed, o.Threads, o.Checkpoint = seed, 1, ""
	if o.Private != nil { // each training has noise of its own; nobody is to be kept from knowing it
		own := *o.Private
		own.Key = sha256.Sum256(binary.LittleEndian.AppendUint64(own.Key[:], seed))
		o.Private = &own
	}
	m, err := b.Network(seed, d)
	return m, d, o, err
}

// Take gives the records of some numbers, from 0, copied.
func Take(d *train.Data, members []int) *train.Data {
	width := len(d.X) / d.Len()
	out := &train.Data{Shape: d.Shape, X: make([]float32, 0, len(members)*width)}
	for _, i := range members {
		out.X = append(out.X, d.X[i*width:(i+1)*width]...)
		if d.Classes != nil {
			out.Classes = append(out.Classes, d.Classes[i])
		}
		if d.Weights != nil {
			out.Weights = append(out.Weights, d.Weights[i])
		}
	}
	if d.Targets != nil {
		columns := len(d.Targets) / d.Len()
		for _, i := range members {
			out.Targets = append(out.Targets, d.Targets[i*columns:(i+1)*columns]...)
		}
	}
	return out
}
