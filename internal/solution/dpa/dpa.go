// Package dpa is Deep Partition Aggregation: a solution whose answers provably stay the same whatever a number of
// the records that it was trained on are.
//
// Levine and Feizi (2021, arXiv:2006.14768, section 3.1) divide the training records into k parts by a hash of each
// record alone, train a model on each part, and answer with the class that most of them vote for. A
// record is in one part, so who adds or removes one changes one vote. Departures:
//
//   - The hash is of a record's input without its label, as in their SS-DPA (section 3.2). So a changed
//     label, too, leaves the record in its part and changes one vote, where it would change two.
//   - A part without records has the network as it was before training, which depends on none.
//
// What a part's model is made of must depend on nothing but the part: neither the records' order nor figures of
// all of them, such as means to standardize by.
package dpa

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/certificate"
	"assay/internal/dataset"
	"assay/internal/model"
	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// Limits of the number of parts: a vote of one is no vote, and all models are in one graph.
const (
	MinParts = 2
	MaxParts = 2000
)

// Partition divides records into k parts and gives each part's indices. Which part a record is in, and where in
// it, depends on that record and the others of its part alone: not on the order in which they came.
func Partition(d *dataset.Dataset, k int) ([][]int, error) {
	if k < MinParts || k > MaxParts {
		return nil, fmt.Errorf("%d partitions: give %d to %d", k, MinParts, MaxParts)
	}
	if d.Y == nil {
		return nil, errors.New("the records have no labels")
	}
	parts, digests := make([][]int, k), make([]dataset.Digest, d.Len())
	for i := range d.Len() {
		digests[i] = digest(d.Record(i))
		part := binary.LittleEndian.Uint64(digests[i][:8]) % uint64(k)
		parts[part] = append(parts[part], i)
	}
	for _, part := range parts {
		slices.SortFunc(part, func(a, b int) int {
			if c := bytes.Compare(digests[a][:], digests[b][:]); c != 0 {
				return c
			}
			return int(d.Y[a] - d.Y[b])
		})
	}
	return parts, nil
}

// digest is the SHA-256 of a record's values, float32 and little-endian.
func digest(record []float32) dataset.Digest {
	text := make([]byte, 0, 4*len(record))
	for _, v := range record {
		text = binary.LittleEndian.AppendUint32(text, math.Float32bits(v))
	}
	return sha256.Sum256(text)
}

// Learner makes the model of a part, from 0, of its records and nothing else. The part may be empty.
type Learner func(ctx context.Context, part int, d *dataset.Dataset) (*onnx.Model, error)

// Train makes the model of each of k parts. Progress is told of each that is done; it may be nil.
func Train(ctx context.Context, d *dataset.Dataset, k int, learn Learner, progress func(done, of int)) ([]*onnx.Model, error) {
	parts, err := Partition(d, k)
	if err != nil {
		return nil, err
	}
	return TrainParts(ctx, d, parts, learn, progress)
}

// TrainParts is Train for parts that are known, such as those of a [Spread].
func TrainParts(ctx context.Context, d *dataset.Dataset, parts [][]int, learn Learner, progress func(done, of int)) ([]*onnx.Model, error) {
	models := make([]*onnx.Model, len(parts))
	for i, part := range parts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if models[i], err = learn(ctx, i, d.Select(part)); err != nil {
			return nil, fmt.Errorf("partition %d, of %d records: %w", i+1, len(part), err)
		}
		if progress != nil {
			progress(i+1, len(parts))
		}
	}
	return models, nil
}

// Merge builds the model whose score of a class is the number of members that vote for it, each for the class with
// its greatest logit. Among equals the first class wins (equation 3 of the paper), in members as in the vote.
func Merge(members []*rewrite.Classifier) (*onnx.Model, error) {
	if len(members) < MinParts || len(members) > MaxParts {
		return nil, fmt.Errorf("%d models vote: give %d to %d", len(members), MinParts, MaxParts)
	}
	first := members[0]
	for i, c := range members {
		if !slices.Equal(c.Shape, first.Shape) || c.Layout != first.Layout || !slices.Equal(c.Classes, first.Classes) || c.Batch != first.Batch {
			return nil, fmt.Errorf("model %d takes or gives something else than the first: all must be of one kind", i+1)
		}
	}
	b := first.Begin()
	votes := make([]string, len(members))
	for i, c := range members {
		logits, _ := b.Call(c, b.Input)
		choice := b.Op("ArgMax", onnx.Attrs{"axis": int64(1), "keepdims": int64(0)}, logits)
		vote := b.Op("OneHot", nil, choice, b.Ints(int64(len(first.Classes))), b.Weight(onnx.NewTensor(fmt.Sprintf("vote%d", i), []float32{0, 1}, 2)))
		votes[i] = vote
	}
	return b.Classify(b.Op("Sum", nil, votes...), false)
}

// Method and Assumption are what certificates say.
const (
	Method     = "Deep Partition Aggregation (Levine and Feizi 2021, arXiv:2006.14768, theorem 1)"
	Assumption = "The schema of the data, the settings and the seed of the training do not depend on the training records; records are added, removed or given another label, and a record whose input is changed counts twice."
)

// Certify certifies the answers of a merged model to rows, whose classes are given. Budget is the number of training
// records that may be added, removed or given another label; Class is always an answer, as votes are never refused.
func Certify(ctx context.Context, c model.Classifier, rows []float64, labels []int) ([]certificate.Certificate, error) {
	classes := len(c.Describe().Classes)
	scores := make([]float64, len(labels)*classes)
	if err := c.Predict(ctx, rows, scores); err != nil {
		return nil, err
	}
	all := make([]certificate.Certificate, len(labels))
	votes, members := make([]int, classes), 0
	for i, label := range labels {
		total := 0
		for k, v := range scores[i*classes : (i+1)*classes] {
			if votes[k] = int(v); v < 0 || float64(votes[k]) != v {
				return nil, fmt.Errorf("the model's score of a class is %g, which counts no votes: give one that Deep Partition Aggregation made", v)
			}
			total += votes[k]
		}
		if members == 0 {
			members = total
		}
		if total != members || total < MinParts {
			return nil, fmt.Errorf("%d votes for one row and %d for another: give a model that Deep Partition Aggregation made", members, total)
		}
		class, budget := Robustness(votes)
		all[i] = certificate.Certificate{Class: class, Correct: class == label, Budget: budget, Method: Method, Assumption: Assumption, Confidence: 1}
	}
	return all, nil
}

// Robustness is the class that a vote decides for, and how many voters can change their minds without changing that
// (theorem 1 of the paper): half of the smallest lead, where an equal with a smaller number would win.
func Robustness(votes []int) (class, budget int) {
	for k, n := range votes {
		if n > votes[class] {
			class = k
		}
	}
	budget = math.MaxInt
	for k, n := range votes {
		if k == class {
			continue
		}
		lead := votes[class] - n
		if k < class {
			lead--
		}
		budget = min(budget, lead/2)
	}
	return class, budget
}
