module assay

go 1.25.0

require google.golang.org/protobuf v1.36.12

require github.com/yalue/onnxruntime_go v1.27.0
