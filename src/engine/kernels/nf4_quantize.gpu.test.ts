import { cases } from './nf4_quantize.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('nf4_quantize', cases);
