import { cases } from './matvec_dense.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('matvec_dense', cases);
