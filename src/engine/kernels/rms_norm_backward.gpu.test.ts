import { cases } from './rms_norm_backward.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('rms_norm_backward', cases);
