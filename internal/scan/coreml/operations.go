package coreml

import "strings"

// operations are those of the Model Intermediate Language, which compute and no more
// (coremltools 8, converters/mil/mil/ops/defs, of iOS 15 to 18).
var operations = func() map[string]bool {
	out := map[string]bool{}
	for name := range strings.FieldsSeq(`
clamped_relu elu gelu leaky_relu linear_activation prelu relu relu6 scaled_tanh sigmoid sigmoid_hard silu softplus softplus_parametric softmax softsign thresholded_relu classify
cond const list_gather list_length list_read list_scatter list_write make_list select while_loop conv conv_quantized conv_transpose
add equal floor_div greater greater_equal less less_equal logical_and logical_or logical_xor maximum minimum mod mul not_equal real_div pow sub
abs acos asin atan atanh ceil clip cos cosh erf exp exp2 floor inverse log logical_not round rsqrt sign sin sinh sqrt square tan tanh threshold cast
affine resize resize_bilinear resize_nearest_neighbor upsample_bilinear upsample_nearest_neighbor crop crop_resize resample
linear matmul einsum batch_norm instance_norm l2_norm layer_norm local_response_norm avg_pool l2_pool max_pool
random_bernoulli random_categorical random_normal random_uniform gru lstm rnn
reduce_argmax reduce_argmin reduce_l1_norm reduce_l2_norm reduce_log_sum reduce_log_sum_exp reduce_max reduce_mean reduce_min reduce_prod reduce_sum reduce_sum_square
gather gather_along_axis gather_nd scatter scatter_along_axis scatter_nd
argsort band_part concat cumsum fill fill_like flatten2d identity non_maximum_suppression non_zero one_hot pad range_1d shape split stack tile topk
depth_to_space space_to_depth expand_dims reshape reshape_like reverse reverse_sequence slice_by_index slice_by_size slice_update space_to_batch batch_to_space squeeze transpose pixel_shuffle pixel_unshuffle sliding_windows
constexpr_affine_dequantize constexpr_cast constexpr_lut_to_dense constexpr_sparse_to_dense constexpr_blockwise_shift_scale constexpr_lut_to_sparse constexpr_sparse_blockwise_shift_scale
quantize dequantize read_state write_state coreml_update_state scaled_dot_product_attention`) {
		out[name] = true
	}
	return out
}()
