package onnx

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// DecodeTensor reads a tensor stored by itself, the bytes of a TensorProto message.
// Its content is a view of data where that is possible.
func DecodeTensor(data []byte) (*Tensor, error) {
	// A tensor is read as the one initializer of a model.
	const graphField, initializerField = 7, 5
	graph := protowire.AppendBytes(protowire.AppendTag(nil, initializerField, protowire.BytesType), data)
	m, err := Decode(protowire.AppendBytes(protowire.AppendTag(nil, graphField, protowire.BytesType), graph))
	if err != nil {
		return nil, err
	}
	if len(m.Graph.Initializers) != 1 {
		return nil, errors.New("this is not an ONNX tensor")
	}
	return m.Graph.Initializers[0], nil
}
