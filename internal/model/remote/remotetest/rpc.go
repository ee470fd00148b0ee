package remotetest

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"assay/internal/model/remote/internal/inference"
)

// ModelMetadata is the gRPC call of that name.
func (s *Server) ModelMetadata(_ context.Context, r *inference.ModelMetadataRequest) (*inference.ModelMetadataResponse, error) {
	m, ok := s.models[r.Name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "there is no model %q", r.Name)
	}
	d := m.Describe()
	return &inference.ModelMetadataResponse{
		Name: r.Name, Versions: []string{"1"}, Platform: "onnx",
		Inputs:  []*inference.ModelMetadataResponse_TensorMetadata{{Name: Input, Datatype: "FP32", Shape: append([]int64{-1}, d.Shape...)}},
		Outputs: []*inference.ModelMetadataResponse_TensorMetadata{{Name: Output, Datatype: "FP32", Shape: []int64{-1, int64(len(d.Classes))}}},
	}, nil
}

// ModelInfer is the gRPC call of that name.
func (s *Server) ModelInfer(ctx context.Context, r *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	if err := s.rpcFault(ctx); err != nil {
		return nil, err
	}
	if len(r.Inputs) != 1 || r.Inputs[0].Name != Input || r.Inputs[0].Datatype != "FP32" {
		return nil, status.Error(codes.InvalidArgument, "not a request with one input of FP32")
	}
	rows := make([]float64, len(r.Inputs[0].Contents.GetFp32Contents()))
	for i, v := range r.Inputs[0].Contents.GetFp32Contents() {
		rows[i] = float64(v)
	}
	n, scores, d, err := s.predict(ctx, r.ModelName, rows)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &inference.ModelInferResponse{
		ModelName: r.ModelName, ModelVersion: "1",
		Outputs: []*inference.ModelInferResponse_InferOutputTensor{{
			Name: Output, Datatype: "FP32", Shape: []int64{int64(n), int64(len(d.Classes))},
			Contents: &inference.InferTensorContents{Fp32Contents: single(scores)},
		}},
	}, nil
}

// rpcFault makes those faults that gRPC can have.
func (s *Server) rpcFault(ctx context.Context) error {
	authorization := ""
	if values := metadata.ValueFromIncomingContext(ctx, "authorization"); len(values) > 0 {
		authorization = values[0]
	}
	f := s.fault(authorization)
	if s.secret != "" && authorization != s.secret {
		return status.Errorf(codes.Unauthenticated, "not authorized: %q", authorization)
	}
	select {
	case <-time.After(f.Delay):
	case <-ctx.Done():
		return ctx.Err()
	}
	switch f.Status {
	case 0:
		return nil
	case http.StatusTooManyRequests:
		return status.Error(codes.ResourceExhausted, "a fault was asked for by "+authorization)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return status.Error(codes.Unavailable, "a fault was asked for by "+authorization)
	}
	return status.Error(codes.Internal, "a fault was asked for by "+authorization)
}
