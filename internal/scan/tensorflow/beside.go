package tensorflow

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"assay/internal/scan"
	"assay/internal/scan/wire"
)

// Keras scans keras_metadata.pb, in which TensorFlow 2.5 to 2.12 wrote the layers of a
// SavedModel (saved_metadata.proto): each is described in JSON, which is handed over.
type Keras struct{}

// Describe names the format and its rule.
func (Keras) Describe() scan.Description {
	return scan.Description{Name: "keras-metadata", Title: "Keras metadata of a SavedModel", Rules: []scan.Rule{{ID: "keras-unknown", Title: "The file has a field that is not known"}}}
}

// Match reports a first node with a number or a path, and what it is: "_tf_keras_model".
func (Keras) Match(p scan.Probe) bool {
	h := p.Head
	return len(h) > 8 && h[0] == 0x0a && bytes.Contains(h[:min(len(h), 64)], []byte("_tf_keras_"))
}

// Scan hands over the descriptions.
func (Keras) Scan(ctx context.Context, f *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	at, size, err := f.Random(ctx)
	if err != nil {
		return err
	}
	unknown := func(field wire.Field) {
		r.Undecided("keras-unknown", f.Place(field.Offset, ""), fmt.Sprintf("It has a field %d, which is not known.", field.Number), "Save the model anew.")
	}
	return wire.Open(at, size).Fields(func(node wire.Field) error {
		if node.Number != 1 {
			unknown(node)
			return nil
		}
		var path string
		return node.Body.Fields(func(field wire.Field) (err error) {
			switch field.Number {
			case 1, 2, 4, 6:
			case 3:
				path, err = field.Body.Text()
			case 5:
				if field.Type != protowire.BytesType {
					return wire.ErrDamaged
				}
				return r.Entry(ctx, f.Section(fmt.Sprintf("metadata of %.200q", path), field.Body.Offset(), field.Body.Len()))
			default:
				unknown(field)
			}
			return err
		})
	})
}

// Fingerprint scans fingerprint.pb, which has digests of a SavedModel (fingerprint.proto).
type Fingerprint struct{}

// Describe names the format. There is nothing in it to be told.
func (Fingerprint) Describe() scan.Description {
	return scan.Description{Name: "fingerprint", Title: "Fingerprint of a SavedModel"}
}

// Match reports a whole file of digests, a version and an identifier.
func (Fingerprint) Match(p scan.Probe) bool {
	b := p.Head
	if len(b) < 20 || len(b) > 400 || int64(len(b)) != p.Size || b[0] != 0x08 {
		return false
	}
	digests := 0
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		used := protowire.ConsumeFieldValue(number, kind, b[n:])
		if used < 0 || number > 7 || (number < 6) != (kind == protowire.VarintType) || number >= 6 && kind != protowire.BytesType {
			return false
		}
		if number < 6 {
			digests++
		}
		b = b[n+used:]
	}
	return digests >= 3
}

// Scan has nothing to look for in digests.
func (Fingerprint) Scan(_ context.Context, _ *scan.File, r *scan.Report) error {
	r.AccountsForAll()
	return nil
}
